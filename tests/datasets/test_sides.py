import re

import cv2
import numpy as np
import pytest
from mmcv.transforms import RandomApply, RandomChoice, RandomFlip
from mmpretrain.datasets import MultiView

import otcxr_mm
from otcxr_mm.datasets.sides import sided
from tests.conftest import write_image

LUNGS = [("left_lung", "right_lung")]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["left_lung", "right_lung", "heart"], {"left_lung": "right_lung", "right_lung": "left_lung"}),
        (["RT Effusion", "LeftMass", "Left-sided device"], ["RT Effusion", "LeftMass", "Left-sided device"]),
        # a letter alone is a side only beside its counterpart
        (["lungL", "lungR", "L spine"], {"lungL": "lungR", "lungR": "lungL"}),
        (["vitamin_l", "Upright", "Cleft", "Mass", "Grade R"], {}),
    ],
)
def test_names_with_a_side(names, found):
    assert sided(names) == (found if isinstance(found, dict) else dict.fromkeys(found))


@pytest.fixture
def split_lungs(real_data, tmp_path):
    """Real radiographs with a mask of each lung, by the side of the connected part; left is on the image's right."""
    source = real_data / "kermany_lungmask"
    chosen = sorted((source / "lung_masks").iterdir())[:3]
    for file in chosen:
        mask = cv2.imread(str(file), 0)
        _, part, _, centres = cv2.connectedComponentsWithStats(mask)
        on_the_right = (centres[:, 0] > mask.shape[1] / 2)[part]
        left, right = mask * on_the_right, mask * ~on_the_right
        assert min((left > 0).mean(), (right > 0).mean()) > 0.03
        for folder, part in (("left", left), ("right", right)):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / file.name), part)
        image = next((source / "images").glob(f"{file.stem}.*"))
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / image.name).write_bytes(image.read_bytes())
    return tmp_path


def lungs(folder, **crop):
    return otcxr_mm.CXRSegmentation(
        str(folder),
        mask_prefix=dict(left_lung="left", right_lung="right"),
        pipeline=[
            dict(type="otcxr_mm.LoadCXR"),
            dict(type="otcxr_mm.MaskedCrop", size=128, scale=(1, 1), ratio=(0.1, 10), **crop),
        ],
    )


def test_a_flipped_left_lung_is_the_mirror_image_of_the_right_one(split_lungs):
    plain, flipped = lungs(split_lungs, flip=0), lungs(split_lungs, flip=1, flip_pairs=LUNGS)
    column = np.arange(128)
    for i in range(3):
        np.random.seed(i)
        a = plain.pipeline(plain.get_data_info(i))
        np.random.seed(i)
        b = flipped.pipeline(flipped.get_data_info(i))
        assert b["flip"] and b["mask_classes"] == ("left_lung", "right_lung")
        np.testing.assert_array_equal(b["img"], a["img"][:, ::-1])
        np.testing.assert_array_equal(b["gt_masks"][0], a["gt_masks"][1][:, ::-1])
        np.testing.assert_array_equal(b["gt_masks"][1], a["gt_masks"][0][:, ::-1])
        # the left lung stays on the right of the image, which is what makes it learnable
        for masks in (a["gt_masks"], b["gt_masks"]):
            left, right = ((mask.sum(0) * column).sum() / mask.sum() for mask in masks)
            assert left - right > 30


def test_masks_with_a_side_and_a_flip_without_pairs_are_refused(split_lungs):
    message = (
        r"MaskedCrop flips .* \['left_lung', 'right_lung'\] have a side.* flip_pairs=\[\('left_lung', 'right_lung'\)\]"
    )
    with pytest.raises(ValueError, match=message):
        lungs(split_lungs)
    assert len(lungs(split_lungs, flip=0)) == len(lungs(split_lungs, flip_pairs=LUNGS)) == 3
    with pytest.raises(
        ValueError, match=r"flip_pairs names \['left'\], but the classes are \['left_lung', 'right_lung'"
    ):
        lungs(split_lungs, flip_pairs=[("left", "right_lung")])


def labelled(folder, names, *steps):
    """Two images with opposite labels."""
    for i in range(2):
        write_image(folder / f"{i}.png")
    lines = [",".join(("filename", *names)), "0.png" + ",1" * len(names), "1.png" + ",0" * len(names)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    pipeline = [dict(type="otcxr_mm.LoadCXR"), *steps]
    return otcxr_mm.CSVLabeledCXR(str(folder), "labels.csv", label_columns=names, pipeline=pipeline)


EFFUSIONS = ("Left effusion", "Mass", "Right effusion")
PAIR = ("Left effusion", "Right effusion")


@pytest.mark.parametrize(
    ("step", "pairs"),
    [
        (dict(type="RandomFlip", prob=0.5), [PAIR]),
        (dict(type="RandomFlip", prob=[0.0, 0.2], direction=["vertical", "diagonal"]), [PAIR]),
        (dict(type="otcxr_mm.FlipCXR", flip_pairs=[("Mass", "Mass")]), [("Mass", "Mass"), PAIR]),
        (RandomApply([RandomFlip(0.5)]), [PAIR]),
        (RandomChoice([[RandomFlip(0.0)], [RandomFlip(0.5)]]), [PAIR]),
        (dict(type="mmpretrain.torchvision/RandomHorizontalFlip", p=0.3), [PAIR]),
    ],
)
def test_labels_with_a_side_and_a_flip_without_pairs_are_refused(tmp_path, step, pairs):
    with pytest.raises(ValueError, match=re.escape(f"flip_pairs={pairs} of otcxr_mm.FlipCXR")) as error:
        labelled(tmp_path, EFFUSIONS, step)
    assert "labels.csv" in str(error.value)
    assert f"{list(PAIR)} have a side" in str(error.value)


@pytest.mark.parametrize(
    "step",
    [
        dict(type="RandomFlip", prob=0.0),
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


def test_a_class_without_the_other_side_cannot_be_flipped(tmp_path):
    names = ("Right effusion", "Mass")
    with pytest.raises(ValueError, match=r"no class for the other side of \['Right effusion'\]"):
        labelled(tmp_path, names, dict(type="otcxr_mm.FlipCXR"))
    assert len(labelled(tmp_path, names, dict(type="otcxr_mm.FlipCXR", flip_pairs=[("Right effusion",) * 2]))) == 2


def test_labels_change_places_with_the_flip_and_the_records_stay(tmp_path):
    dataset = labelled(tmp_path, EFFUSIONS, dict(type="otcxr_mm.FlipCXR", prob=0.5, flip_pairs=[PAIR]))
    dataset.records.labels[:] = [[1, np.nan, 0], [0, 1, np.nan]]
    before = dataset.records.labels.copy()
    images = [dataset.pipeline.transforms[0](dataset.get_data_info(i))["img"] for i in range(2)]
    outputs = [(i, dataset[i]) for i in [0, 1] * 10]
    for i, out in outputs:
        step = -1 if out["flip"] else 1
        np.testing.assert_array_equal(out["img"], images[i][:, ::step])
        np.testing.assert_array_equal(out["gt_score"], before[i][::step])
    assert {out["flip"] for _, out in outputs} == {True, False}
    np.testing.assert_array_equal(dataset.records.labels, before)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["left_lung", "right_lung"], "flip_pairs is a list of pairs of class names"),
        ([("a", "b", "c")], "flip_pairs is a list of pairs of class names"),
        ([(0, 1)], "flip_pairs is a list of pairs of class names"),
        ([("a", "b"), ("c", "a")], r"\['a'\] appear in several"),
    ],
)
def test_pairs_that_are_none(pairs, message):
    for build in (otcxr_mm.FlipCXR, lambda **kwargs: otcxr_mm.MaskedCrop(8, **kwargs)):
        with pytest.raises(ValueError, match=message):
            build(flip_pairs=pairs)


def test_pairs_without_names_to_look_them_up(tmp_path):
    with pytest.raises(
        ValueError, match="needs gt_score and classes, but the data set gives no gt_score and no classes"
    ):
        otcxr_mm.FlipCXR(1, LUNGS).transform({"img": np.zeros((4, 4), np.uint8)})
    with pytest.raises(
        ValueError, match=r"MaskedCrop: flip_pairs names \['left_lung', 'right_lung'\], but the classes"
    ):
        otcxr_mm.MaskedCrop(4, flip=1, flip_pairs=LUNGS).transform(
            {"img": np.zeros((4, 4), np.uint8), "gt_masks": np.zeros((1, 4, 4), np.uint8), "mask_classes": ("lung",)}
        )
    with pytest.raises(ValueError, match="prob lies in"):
        otcxr_mm.FlipCXR(2)
