"""Segmentation: SIIM's pneumothorax, and lungs with sides in folders of one's own."""

import cv2
import numpy as np
import pandas as pd
import pytest

import otcxr_mm

from . import options, own, publishers
from .figures import assert_segmented, recorded

pytest.importorskip("mmseg.registry")

UNTRAINED = ["default_hooks.load_backbone.checkpoint=None"]
LUNGS = """
_base_ = ["otcxr_mm::upernet_r18_lungs.py"]
ours = dict(
    data_root="lungs", mask_prefix=dict(_delete_=True, right_lung="right_lung", left_lung="left_lung", heart="heart")
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
    few = options.iterations(30, 4), ["optim_wrapper.optimizer.lr=1e-3", "model.decode_head.channels=64"]
    args = options.cfg(UNTRAINED, FROZEN, ["default_hooks.load_backbone.calibrate=True"], *small, *few)
    otcxr("train", "upernet_r50_siim.py", *args, cwd=tmp_path, env=env, check=True)
    otcxr("test", "work_dirs/upernet_r50_siim", cwd=tmp_path, env=env, check=True)
    assert_segmented(tmp_path / "work_dirs" / "upernet_r50_siim", planted)


def test_lungs_with_sides(otcxr, real_data, tmp_path):
    """Left and right look alike; swapping the folders of their masks at the test alone is seen."""
    planted = own.masks(tmp_path / "lungs", real_data)
    (tmp_path / "sides.py").write_text(LUNGS)
    few = options.loaders(8), options.iterations(60), ["train_dataloader.dataset.pipeline.1.scale=(0.8,1.0)"]
    refused = otcxr("train", "sides.py", *options.cfg(UNTRAINED, *few), cwd=tmp_path)
    assert refused.status != 0
    assert "have a side" in refused.out
    otcxr("train", "sides.py", *options.cfg(UNTRAINED, *few, PAIRS), cwd=tmp_path, check=True)
    otcxr("test", "work_dirs/sides", cwd=tmp_path, check=True)
    work_dir = tmp_path / "work_dirs" / "sides"
    dice = assert_segmented(work_dir, planted)
    assert list(dice) == ["right_lung", "left_lung", "heart"]
    assert cv2.imread(str(work_dir / "overlays.png")).shape[0] > 300
    _assert_the_run_answers_as_it_was_tested(otcxr, work_dir, planted)

    swapped = [
        f"test_dataloader.dataset.mask_prefix.{a}_lung={b}_lung" for a, b in (("left", "right"), ("right", "left"))
    ]
    (best,) = work_dir.glob("best_*.pth")
    args = ["--work-dir", "swapped", *options.cfg(swapped)]
    otcxr("test", work_dir / "sides.py", best, *args, cwd=tmp_path, check=True)
    with pytest.raises(AssertionError):
        assert_segmented(tmp_path / "swapped", planted)
    dice = recorded(tmp_path / "swapped", "mask/dice")
    assert max(dice["left_lung"], dice["right_lung"]) < 0.1 < 0.9 < dice["heart"]


def _assert_the_run_answers_as_it_was_tested(otcxr, work_dir, planted):
    """`otcxr predict` and the inferencer find the masks that the test found."""
    folder, tested = planted.root.parent, np.load(work_dir / "predictions.npz")
    files = [planted.root / str(image) for image in tested["image"]]
    out = ["--out", "areas.csv", "--overlays", "drawn", "--device", "cpu"]
    otcxr("predict", work_dir, *files, *out, cwd=folder, check=True)
    table = pd.read_csv(folder / "areas.csv")
    assert len(list((folder / "drawn").iterdir())) == len(files)
    found = otcxr_mm.CXRSegmentorInferencer(work_dir, device="cpu")(list(map(str, files)))
    for k, name in enumerate(tested["classes"].tolist()):
        for row, (file, result) in enumerate(zip(files, found, strict=True)):
            mask, true = result["masks"][name], cv2.imread(str(planted.root / name / file.name), 0) > 0
            dice = 2 * (mask & true).sum() / (mask.sum() + true.sum())
            assert dice == pytest.approx(tested["dice"][row, k], abs=1e-6)
            assert table[f"{name}_pixels"][row] == mask.sum()
            assert table["cardiothoracic_ratio"][row] == pytest.approx(result["cardiothoracic_ratio"], abs=1e-6)
