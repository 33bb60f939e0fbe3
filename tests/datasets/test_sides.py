import re

import numpy as np
import pytest
from mmcv.transforms import RandomApply, RandomChoice, RandomFlip
from mmengine.registry import TRANSFORMS
from mmpretrain.datasets import MultiView

import otcxr_mm
from otcxr_mm.datasets.sides import check_sides, sided
from tests.conftest import write_image

LUNGS = ("left_lung", "right_lung")
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


def check(step):
    step = TRANSFORMS.build(step) if isinstance(step, dict) else step
    check_sides("set", [step], (PAIR[0], "Mass", PAIR[1]), LUNGS)


@pytest.mark.parametrize(
    ("step", "sides"),
    [
        (dict(type="RandomFlip", prob=[0.0, 0.2], direction=["vertical", "diagonal"]), PAIR),
        (dict(type="otcxr_mm.FlipCXR", flip_pairs=[("Mass", "Mass")]), PAIR),
        (RandomApply([RandomFlip(0.5)]), PAIR),
        (RandomChoice([[RandomFlip(0.0)], [RandomFlip(0.5)]]), PAIR),
        (dict(type="mmpretrain.torchvision/RandomHorizontalFlip", p=0.3), PAIR),
        (dict(type="otcxr_mm.MaskedCrop", size=8), LUNGS),
    ],
)
def test_classes_with_a_side_and_a_flip_without_pairs_are_refused(step, sides):
    with pytest.raises(ValueError, match=re.escape(f"{list(sides)} have a side")):
        check(step)


@pytest.mark.parametrize(
    "step",
    [
        dict(type="RandomFlip", prob=0.5, direction="vertical"),
        dict(type="otcxr_mm.FlipCXR", prob=0),
        dict(type="otcxr_mm.FlipCXR", flip_pairs=[PAIR[::-1]]),
        dict(type="otcxr_mm.FlipCXR", flip_pairs=[(name, name) for name in PAIR]),  # declared to have no side
        dict(type="otcxr_mm.MaskedCrop", size=8, flip_pairs=[LUNGS]),
        dict(type="mmpretrain.torchvision/RandomHorizontalFlip", p=0.0),
        # pre-training: no labels
        dict(type="otcxr_mm.TwoViewCrop", size=32),
        MultiView([[RandomFlip(0.5)]], [2]),
    ],
)
def test_flips_that_do_no_harm(step):
    check(step)


def test_a_data_set_checks_its_pipeline(tmp_path):
    write_image(tmp_path / "0.png")
    (tmp_path / "labels.csv").write_text("filename,left,right\n0.png,1,0\n")
    pipeline = [dict(type="otcxr_mm.LoadCXR"), dict(type="otcxr_mm.FlipCXR")]
    with pytest.raises(ValueError, match="have a side"):
        len(otcxr_mm.CSVLabeledCXR(tmp_path, "labels.csv", label_columns=["left", "right"], pipeline=pipeline))


def test_a_flipped_left_lung_is_the_mirror_image_of_the_right_one():
    masks = np.random.random((2, 40, 40)) > 0.5
    crop = otcxr_mm.MaskedCrop(size=40, scale=(1, 1), ratio=(0.1, 10), flip=1, flip_pairs=[LUNGS])
    out = crop.transform({"img": np.zeros((40, 40), np.uint8), "gt_masks": masks, "mask_classes": LUNGS})
    np.testing.assert_array_equal(out["gt_masks"], masks[::-1, :, ::-1])


def test_labels_change_places_with_the_flip_in_a_copy():
    img, labels = np.random.randint(0, 256, (4, 4), np.uint8), np.array([1, np.nan, 0])
    out = otcxr_mm.FlipCXR(1, [PAIR]).transform({"img": img, "gt_score": labels, "classes": (PAIR[0], "Mass", PAIR[1])})
    np.testing.assert_array_equal(out["img"], img[:, ::-1])
    np.testing.assert_array_equal(out["gt_score"], [0, np.nan, 1])
    np.testing.assert_array_equal(labels, [1, np.nan, 0])


def test_a_class_belongs_to_one_pair():
    with pytest.raises(ValueError, match="a class belongs to one of the flip_pairs"):
        check(dict(type="otcxr_mm.FlipCXR", flip_pairs=[PAIR, (PAIR[0], "Mass")]))
