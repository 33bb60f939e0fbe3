"""Segmentation: SIIM's pneumothorax, and lungs with sides in folders of one's own."""

import pytest

from . import options, own, publishers
from .figures import assert_segmented, recorded

pytest.importorskip("mmseg.registry")

UNTRAINED = ["default_hooks.load_backbone.checkpoint=None"]
LUNGS = """
_base_ = ["otcxr_mm::otcxr_upernet_r18_lungs.py"]
ours = dict(
    data_root="lungs", mask_prefix=dict(_delete_=True, right_lung="right", left_lung="left", heart="heart")
)
train_dataloader = dict(dataset=ours)
val_dataloader = dict(dataset=ours)
test_dataloader = dict(dataset=ours)
model = dict(decode_head=dict(num_classes=3))
"""
PAIRS = ["train_dataloader.dataset.pipeline.1.flip_pairs=[(left_lung,right_lung)]"]


FROZEN = ["protocol=frozen", "model.backbone.frozen_stages=4", "model.backbone.norm_eval=True"]


def test_siim(otcxr, real_data, tmp_path):
    """The head alone, on the features of an untrained network."""
    pytest.importorskip("pydicom")
    planted = publishers.siim(tmp_path / "siim", real_data)
    env = {"OTCXR_SIIM": planted.root}
    small = options.loaders(8), options.size(96, "val", "test"), options.size(96, "train", key="size")
    few = options.iterations(40, 4), ["optim_wrapper.optimizer.lr=1e-3", "model.decode_head.channels=64"]
    args = options.cfg(UNTRAINED, FROZEN, ["default_hooks.load_backbone.calibrate=True"], *small, *few)
    otcxr("train", "otcxr_upernet_r50_siim.py", *args, cwd=tmp_path, env=env, check=True)
    otcxr("test", "work_dirs/otcxr_upernet_r50_siim", cwd=tmp_path, env=env, check=True)
    assert_segmented(tmp_path / "work_dirs" / "otcxr_upernet_r50_siim", planted)


@pytest.fixture(scope="module")
def lungs(tmp_path_factory, otcxr, real_data):
    """A folder with a trained network of three structures, two of which have sides, and its data."""
    folder = tmp_path_factory.mktemp("sides")
    planted = own.masks(folder / "lungs", real_data)
    (folder / "sides.py").write_text(LUNGS)
    few = options.loaders(8), options.iterations(90), ["train_dataloader.dataset.pipeline.1.scale=(0.8,1.0)"]
    refused = otcxr("train", "sides.py", *options.cfg(UNTRAINED, *few), cwd=folder)
    assert refused.status != 0
    assert "have a side" in refused.out
    otcxr("train", "sides.py", *options.cfg(UNTRAINED, *few, PAIRS), cwd=folder, check=True)
    return folder, planted


def test_lungs_with_sides(otcxr, lungs):
    folder, planted = lungs
    otcxr("test", "work_dirs/sides", cwd=folder, check=True)
    dice = assert_segmented(folder / "work_dirs" / "sides", planted)
    assert list(dice) == ["right_lung", "left_lung", "heart"]


def test_swapped_sides_are_seen(otcxr, lungs, tmp_path):
    """The folders of left and right masks are swapped at the test alone."""
    folder, planted = lungs
    swapped = [f"test_dataloader.dataset.mask_prefix.{a}_lung={b}" for a, b in (("left", "right"), ("right", "left"))]
    (best,) = (folder / "work_dirs" / "sides").glob("best_*.pth")
    config = folder / "work_dirs" / "sides" / "sides.py"
    otcxr("test", config, best, "--work-dir", tmp_path, *options.cfg(swapped), cwd=folder, check=True)
    with pytest.raises(AssertionError):
        assert_segmented(tmp_path, planted)
    dice = recorded(tmp_path, "dice")
    assert max(dice["left_lung"], dice["right_lung"]) < 0.1 < 0.9 < dice["heart"]
