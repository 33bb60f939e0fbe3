from dataclasses import replace

import cv2
import numpy as np
import pytest
from mmcv.transforms import Resize
from mmengine.dataset import ConcatDataset

import otcxr_mm
from otcxr_mm.cli.views import main
from otcxr_mm.visualization.views import contact_sheet, view_pairs
from tests.conftest import ROOT

PIPELINE = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="otcxr_mm.TwoViewCrop", size=48, scale=(0.3, 0.8)),
    dict(type="otcxr_mm.PackViews", meta_keys=()),  # the geometry is taken before it is dropped
]


@pytest.fixture
def slope(tmp_path):
    """Images whose grey value is their place: 2x + y."""
    x, y = np.meshgrid(np.linspace(0, 1, 96), np.linspace(0, 1, 80))
    (tmp_path / "slope").mkdir()
    for i in range(5):
        assert cv2.imwrite(str(tmp_path / "slope" / f"{i}.png"), np.uint8(80 * (2 * x + y)))
    return otcxr_mm.UnlabeledCXR(tmp_path / "slope", pipeline=PIPELINE)


def test_equal_numbers_are_at_places_of_equal_grey(slope):
    pairs = view_pairs(slope, 5, seed=1)
    axes = contact_sheet(pairs).axes
    numbered = 0
    for k, pair in enumerate(pairs):
        texts = [axis.texts for axis in axes[3 * k + 1 : 3 * k + 3]]
        assert [text.get_text() for text in texts[0]] == [text.get_text() for text in texts[1]]
        greys = []
        for view, drawn in zip(pair.views, texts, strict=True):
            x, y = np.array([text.get_position() for text in drawn], np.float32).reshape(-1, 2).T
            greys.append(cv2.remap(view, x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0])
        assert np.abs(greys[0] - greys[1]).max() < 3  # of 240
        numbered += len(texts[0])
    assert numbered > 40


def test_pairs_are_those_of_training_and_depend_on_the_seed_alone(slope):
    a, b, c = (view_pairs(slope, 3, seed)[0].views[1] for seed in (4, 4, 5))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    slope.set_epoch(4, 0)
    assert any(np.array_equal(a, slope[i]["inputs"][1][0].numpy()) for i in range(5))


def test_the_radiograph_is_the_one_that_was_cropped(slope):
    """A transform before the crop changes what the matrices refer to."""
    slope.pipeline.transforms.insert(1, Resize(scale=(32, 32)))
    assert view_pairs(slope, 1)[0].image.shape == (32, 32)


def test_a_pipeline_without_views_is_refused(slope):
    del slope.pipeline.transforms[1]
    with pytest.raises(ValueError, match="no `view_to_image` of two views"):
        view_pairs(slope, 1)


def test_captions_tell_no_ids_unless_asked(nih_folder):
    data = otcxr_mm.NIHChestXray14(nih_folder, split="all", pipeline=PIPELINE)
    assert [pair.caption for pair in view_pairs(data, 4)][:2] == ["image 0, PA", "image 1, AP"]
    named = view_pairs(ConcatDataset([data, data]), 8, show_ids=True)
    assert named[7].caption == "patient 3, images/00000003_000.png, PA"


def test_a_sheet_outlines_the_crops_and_tells_which_is_flipped(slope):
    (pair,) = view_pairs(slope, 1)
    flipped = replace(pair, view_to_image=np.array([[[-0.5, 0, 0.75], [0, 1, 0]], [[1, 0, 0], [0, 1, 0]]]))
    axes = contact_sheet([flipped]).axes
    np.testing.assert_allclose(axes[0].lines[0].get_xydata()[0], (0.75 * 96 - 0.5, -0.5))
    assert [axis.get_xlabel() for axis in axes[1:]] == ["view 1 (flipped)", "view 2"]


def test_the_command_draws_real_radiographs(real_data, tmp_path, capsys):
    out = tmp_path / "made" / "views.png"
    options = ["--cfg-options", f"train_dataloader.dataset.data_root={real_data / 'nih'}"]
    main([str(ROOT / "configs" / "otcxr_r50_nih.py"), "--out", str(out), "-n", "2", "--seed", "3", *options])
    assert cv2.imread(str(out)).std() > 40
    assert capsys.readouterr().out.strip().endswith("views.png")
