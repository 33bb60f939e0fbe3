"""VinBigData, RSNA and MedMNIST: an untrained backbone and a linear head, in the configs' own words."""

import json

import pytest

from . import options, publishers
from .figures import assert_learnt


def evaluate(otcxr, folder, config, env, *opts):
    """Trains and tests in a work dir, which it returns."""
    work_dir = folder / "work"
    args = ["--work-dir", work_dir, *options.cfg(options.UNTRAINED, *opts)]
    otcxr("train", config, *args, cwd=folder, env=env, check=True)
    otcxr("test", work_dir, cwd=folder, env=env, check=True)
    assert json.loads((work_dir / "results.json").read_text())["method"] == "random init"
    return work_dir


def test_vinbigdata(otcxr, real_data, tmp_path):
    """Votes of three readers; DICOM of 8 and 12 bits, some of them MONOCHROME1."""
    pytest.importorskip("pydicom")
    planted = publishers.vinbig(tmp_path / "vinbig", real_data)
    env = {"OTCXR_VINBIG": planted.root}
    small = options.loaders(16), options.size(112)
    work_dir = evaluate(otcxr, tmp_path, "linear_r50_vinbig.py", env, *small, options.DECAYS)
    assert_learnt(work_dir, planted)


def test_rsna(otcxr, real_data, tmp_path):
    pytest.importorskip("pydicom")
    planted = publishers.rsna(tmp_path / "rsna", real_data)
    env, small = {"OTCXR_RSNA": planted.root}, (options.loaders(8), options.size(96))
    work_dir = evaluate(otcxr, tmp_path, "linear_r50_rsna.py", env, *small, options.DECAYS)
    assert_learnt(work_dir, planted)


MEDMNIST = """
_base_ = ["otcxr_mm::linear_r18_kermany.py"]
small = dict(
    _delete_=True,
    type="otcxr_mm.MedMNISTCXR",
    data_root="medmnist",
    ann_file="chestmnist_128.npz",
    classes=("Pneumothorax", "Effusion", "Hernia", "Atelectasis", "Mass"),
    pipeline=_base_.test_pipeline,
    test_mode=True,
)
train_dataloader = dict(dataset=dict(**small, split="train"))
val_dataloader = dict(dataset=dict(**small, split="val"))
test_dataloader = dict(dataset=dict(**small, split="test"))
model = dict(head=dict(num_classes=5))
"""


def test_medmnist_in_another_order_of_classes(otcxr, real_data, tmp_path):
    planted = publishers.medmnist(tmp_path / "medmnist", real_data)
    (tmp_path / "chest.py").write_text(MEDMNIST)
    figures = assert_learnt(evaluate(otcxr, tmp_path, "chest.py", {}), planted)
    assert list(figures) == ["Pneumothorax", "Effusion", "Hernia", "Atelectasis", "Mass"]
