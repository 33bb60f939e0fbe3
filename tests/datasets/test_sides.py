import numpy as np
import pytest
from mmcv.transforms import RandomApply, RandomChoice, RandomFlip
from mmpretrain.datasets import MultiView

import otcxr_mm
from otcxr_mm.datasets.sides import sided
from tests.conftest import write_image

LUNGS = [("left_lung", "right_lung")]
EFFUSIONS = ("Left effusion", "Mass", "Right effusion")
PAIR = ("Left effusion", "Right effusion")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["left_lung", "right_lung", "heart"], ["left_lung", "right_lung"]),
        (["RT Effusion", "LeftMass", "Left-sided device"], ["RT Effusion", "LeftMass", "Left-sided device"]),
        # a letter alone is a side only beside its counterpart
        (["lungL", "lungR", "L spine"], ["lungL", "lungR"]),
        (["vitamin_l", "Upright", "Cleft", "Mass", "Grade R"], []),
    ],
)
def test_names_with_a_side(names, found):
    assert sided(names) == found


def lungs(folder, **crop):
    """Three images with a mask on either side; the left lung is on the right of the image."""
    for i in range(3):
        write_image(folder / "images" / f"{i}.png", (40, 40))
        for side, columns in (("right", slice(2, 10 + i)), ("left", slice(25, 38))):
            mask = np.zeros((40, 40))
            mask[10:30, columns] = 255
            write_image(folder / side / f"{i}.png", (40, 40), mask)
    return otcxr_mm.CXRSegmentation(
        str(folder),
        mask_prefix=dict(left_lung="left", right_lung="right"),
        pipeline=[
            dict(type="otcxr_mm.LoadCXR"),
            dict(type="otcxr_mm.MaskedCrop", size=40, scale=(1, 1), ratio=(0.1, 10), **crop),
        ],
    )


def test_a_flipped_left_lung_is_the_mirror_image_of_the_right_one(tmp_path):
    plain, flipped = lungs(tmp_path, flip=0), lungs(tmp_path, flip=1, flip_pairs=LUNGS)
    for i in range(3):
        a, b = (data.pipeline(data.get_data_info(i)) for data in (plain, flipped))
        assert b["mask_classes"] == ("left_lung", "right_lung")
        np.testing.assert_array_equal(b["gt_masks"], a["gt_masks"][::-1, :, ::-1])


def test_masks_with_a_side_and_a_flip_without_pairs_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"MaskedCrop flips .*\['left_lung', 'right_lung'\] have a side"):
        len(lungs(tmp_path))


def labelled(folder, names, *steps):
    """Two images with opposite labels."""
    for i in range(2):
        write_image(folder / f"{i}.png")
    lines = [",".join(("filename", *names)), "0.png" + ",1" * len(names), "1.png" + ",0" * len(names)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    pipeline = [dict(type="otcxr_mm.LoadCXR"), *steps]
    return otcxr_mm.CSVLabeledCXR(str(folder), "labels.csv", label_columns=names, pipeline=pipeline)


@pytest.mark.parametrize(
    "step",
    [
        dict(type="RandomFlip", prob=[0.0, 0.2], direction=["vertical", "diagonal"]),
        dict(type="otcxr_mm.FlipCXR", flip_pairs=[("Mass", "Mass")]),
        RandomApply([RandomFlip(0.5)]),
        RandomChoice([[RandomFlip(0.0)], [RandomFlip(0.5)]]),
        dict(type="mmpretrain.torchvision/RandomHorizontalFlip", p=0.3),
    ],
)
def test_labels_with_a_side_and_a_flip_without_pairs_are_refused(tmp_path, step):
    with pytest.raises(ValueError, match=r"\['Left effusion', 'Right effusion'\] have a side"):
        labelled(tmp_path, EFFUSIONS, step)


@pytest.mark.parametrize(
    "step",
    [
        dict(type="RandomFlip", prob=0.5, direction="vertical"),
        dict(type="otcxr_mm.FlipCXR", prob=0),
        dict(type="otcxr_mm.FlipCXR", flip_pairs=[PAIR[::-1]]),
        dict(type="mmpretrain.torchvision/RandomHorizontalFlip", p=0.0),
        # pre-training: no labels
        dict(type="otcxr_mm.TwoViewCrop", size=32),
        MultiView([[RandomFlip(0.5)]], [2]),
    ],
)
def test_flips_that_do_no_harm(tmp_path, step):
    assert len(labelled(tmp_path, EFFUSIONS, step)) == 2


def test_a_class_without_the_other_side_may_be_declared_sideless(tmp_path):
    flip = dict(type="otcxr_mm.FlipCXR", flip_pairs=[("Right effusion",) * 2])
    assert len(labelled(tmp_path, ("Right effusion", "Mass"), flip)) == 2


def test_labels_change_places_with_the_flip_and_the_records_stay(tmp_path):
    dataset = labelled(tmp_path, EFFUSIONS, dict(type="otcxr_mm.FlipCXR", prob=0.5, flip_pairs=[PAIR]))
    dataset.records.labels[0] = before = [1, np.nan, 0]
    img = dataset.pipeline.transforms[0](dataset.get_data_info(0))["img"]
    outputs = [dataset[0] for _ in range(20)]
    for out in outputs:
        step = -1 if out["flip"] else 1
        np.testing.assert_array_equal(out["img"], img[:, ::step])
        np.testing.assert_array_equal(out["gt_score"], before[::step])
    assert {out["flip"] for out in outputs} == {True, False}
    np.testing.assert_array_equal(dataset.records.labels[0], before)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("left", "right_lung")], r"flip_pairs names \['left'\], but the classes are \['left_lung', 'right_lung'"),
        (["left_lung", "right_lung"], "flip_pairs is a list of pairs of class names"),
        ([("a", "b"), ("c", "a")], r"\['a'\] appear in several"),
    ],
)
def test_wrong_pairs(tmp_path, pairs, message):
    with pytest.raises(ValueError, match=message):
        len(lungs(tmp_path, flip_pairs=pairs))


def test_pairs_need_labels_to_exchange():
    with pytest.raises(ValueError, match="the data set gives no gt_score and no classes"):
        otcxr_mm.FlipCXR(1, LUNGS).transform({"img": np.zeros((4, 4), np.uint8)})
