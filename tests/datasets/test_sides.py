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


def test_names_with_a_side():
    assert sided(["left_lung", "right_lung", "heart"]) == {"left_lung": "right_lung", "right_lung": "left_lung"}
    found = sided(["Right pleural effusion", "LeftEffusion", "RT Effusion", "Left-sided device", "Effusion"])
    assert found == {
        "Right pleural effusion": None,
        "LeftEffusion": None,
        "RT Effusion": None,
        "Left-sided device": None,
    }
    # a letter alone says a side only beside its counterpart
    assert sided(["lung_l", "lung_r"]) == {"lung_l": "lung_r", "lung_r": "lung_l"}
    assert sided(["lungL", "lungR", "L spine"]) == {"lungL": "lungR", "lungR": "lungL"}
    assert sided(["vitamin_l", "Upright", "Bright", "Cleft", "Mass", "Grade R"]) == {}


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
        "MaskedCrop flips images horizontally, but the classes ['left_lung', 'right_lung'] have a side: in a flipped "
        "image their labels would be wrong. Name those that change places with flip_pairs=[('left_lung', "
        "'right_lung')], or turn the flip off with flip=0"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        lungs(split_lungs)
    assert len(lungs(split_lungs, flip=0)) == len(lungs(split_lungs, flip_pairs=LUNGS)) == 3
    with pytest.raises(
        ValueError, match=r"flip_pairs names \['left'\], but the classes are \['left_lung', 'right_lung'"
    ):
        lungs(split_lungs, flip_pairs=[("left", "right_lung")])


def labelled(folder, names, *steps):
    for i in range(2):
        write_image(folder / f"{i}.png")
    lines = [
        ",".join(("filename", *names)),
        *(f"{i}.png,{','.join('10'[(i + c) % 2] for c in range(len(names)))}" for i in range(2)),
    ]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return otcxr_mm.CSVLabeledCXR(
        str(folder), "labels.csv", label_columns=names, pipeline=[dict(type="otcxr_mm.LoadCXR"), *steps]
    )


EFFUSIONS = ("Left effusion", "Mass", "Right effusion")


@pytest.mark.parametrize(
    ("step", "way_out"),
    [
        (dict(type="RandomFlip", prob=0.5), "dict(type='otcxr_mm.FlipCXR', flip_pairs=[('Left effusion', 'Right effu"),
        (
            dict(type="RandomFlip", prob=[0.0, 0.2], direction=["vertical", "diagonal"]),
            "turn the flip off with prob=0.0",
        ),
        (dict(type="otcxr_mm.FlipCXR"), "with flip_pairs=[('Left effusion', 'Right effusion')], or turn"),
        (RandomApply([RandomFlip(0.5)]), "RandomFlip flips images"),
        (RandomChoice([[RandomFlip(0.0)], [RandomFlip(0.5)]]), "RandomFlip flips images"),
        (dict(type="mmpretrain.torchvision/RandomHorizontalFlip", p=0.3), "turn the flip off with p=0"),
        (
            dict(type="otcxr_mm.FlipCXR", flip_pairs=[("Mass", "Mass")]),
            "flip_pairs=[('Mass', 'Mass'), ('Left effusion', ",
        ),
    ],
)
def test_labels_with_a_side_and_a_flip_without_pairs_are_refused(tmp_path, step, way_out):
    with pytest.raises(ValueError, match=re.escape(way_out)) as error:
        labelled(tmp_path, EFFUSIONS, step)
    assert "labels.csv" in str(error.value) and "['Left effusion', 'Right effusion'] have a side" in str(error.value)


@pytest.mark.parametrize(
    "step",
    [
        dict(type="RandomFlip", prob=0.0),
        dict(type="RandomFlip", prob=0.5, direction="vertical"),
        dict(type="otcxr_mm.FlipCXR", prob=0),
        dict(type="otcxr_mm.FlipCXR", flip_pairs=[("Right effusion", "Left effusion")]),
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
    with pytest.raises(
        ValueError, match=r"no class for the other side of \['Right effusion'\]: turn the flip off with"
    ):
        labelled(tmp_path, names, dict(type="otcxr_mm.FlipCXR"))
    assert len(labelled(tmp_path, names, dict(type="otcxr_mm.FlipCXR", flip_pairs=[("Right effusion",) * 2]))) == 2


def test_labels_change_places_with_the_flip_and_the_records_stay(tmp_path):
    pairs = [("Left effusion", "Right effusion")]
    dataset = labelled(tmp_path, EFFUSIONS, dict(type="otcxr_mm.FlipCXR", prob=0.5, flip_pairs=pairs))
    dataset.records.labels[:] = [[1, np.nan, 0], [0, 1, np.nan]]
    before = dataset.records.labels.copy()
    flips = set()
    for _ in range(20):
        for i, img in enumerate(dataset.pipeline.transforms[0](dataset.get_data_info(j))["img"] for j in range(2)):
            out = dataset[i]
            step = -1 if out["flip"] else 1
            np.testing.assert_array_equal(out["img"], img[:, ::step])
            np.testing.assert_array_equal(out["gt_score"], before[i][::step])
            flips.add(out["flip"])
    assert flips == {True, False}
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
