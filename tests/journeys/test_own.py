"""A hospital's own folders: pre-training without labels, then a csv of labels, or DICOM headers for a table."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT

from . import options, own
from .figures import EXACT, assert_learnt, recorded
from .planted import backgrounds, write

PRETRAIN = """
_base_ = ["otcxr_mm::otcxr_r18_cpu.py"]
train_dataloader = dict(
    dataset=dict(_delete_=True, type="otcxr_mm.UnlabeledCXR", data_root="{root}", {more}
        pipeline=_base_.train_pipeline)
)
"""
LABELS = """
_base_ = ["otcxr_mm::linear_r18_kermany.py"]
ours = dict(
    _delete_=True,
    type="otcxr_mm.CSVLabeledCXR",
    data_root="{root}",
    ann_file="labels.csv",
    {more}
    pipeline=_base_.test_pipeline,
    test_mode=True,
)
train_dataloader = dict(dataset=dict(**ours, split="train"))
val_dataloader = dict(dataset=dict(**ours, split="val"))
test_dataloader = dict(dataset=dict(**ours, split="test"))
model = dict(head=dict(num_classes={classes}))
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/mine/backbone.pth"))
"""
MAPPING = 'img_prefix="images", label_columns=dict(Virus="COVID", Fungus="Pneumocystis", Bacteria="Streptococcus"),'
HASH = 'split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)),'
CROPS = options.cfg(options.loaders(8, "train"), ["train_cfg.max_epochs=2", "param_scheduler=[]"])


def last_validation(work_dir: Path) -> float:
    """What the training said in the end: macro AUROC on the validation images."""
    (log,) = work_dir.glob("*/vis_data/scalars.json")
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [line["multilabel/auroc"] for line in found if "multilabel/auroc" in line][-1]


def process(folder, *arguments):
    """Python in a process of its own, as in a shell."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, arguments)]
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


def test_classes_of_a_mapping_keep_their_columns(otcxr, real_data, tmp_path):
    planted = own.own_csv(tmp_path / "hospital", real_data)
    for i, image in zip(range(24), backgrounds(real_data / "kermany" / "images", 1000), strict=False):
        write(tmp_path / "archive" / f"{i}.png", image.astype(np.uint8))
    (tmp_path / "mine.py").write_text(PRETRAIN.format(root="archive", more=""))
    (tmp_path / "labels.py").write_text(LABELS.format(root="hospital", more=MAPPING, classes=3))
    otcxr("train", "mine.py", *CROPS, cwd=tmp_path, check=True)
    process(tmp_path, "-m", "otcxr_mm", "train", "labels.py")
    work_dir = tmp_path / "work_dirs" / "labels"
    process(tmp_path, "-m", "otcxr_mm", "test", "work_dirs/labels")
    figures = assert_learnt(work_dir, planted)
    assert list(figures) == ["Virus", "Fungus", "Bacteria"]

    checkpoint = work_dir / "linear.pth"
    otcxr("test", "labels.py", checkpoint, "--work-dir", "again", cwd=tmp_path, check=True)
    assert assert_learnt(tmp_path / "again", planted) == pytest.approx(figures, abs=EXACT)
    scores = [np.load(folder / "predictions.npz")["scores"] for folder in (work_dir, tmp_path / "again")]
    np.testing.assert_allclose(*scores, atol=EXACT)

    # the validation images, tested
    val = options.cfg(["test_dataloader.dataset.split=val"])
    otcxr("test", "labels.py", checkpoint, "--work-dir", "val", *val, cwd=tmp_path, check=True)
    tested = np.mean(list(recorded(tmp_path / "val", "auroc").values()))
    assert tested == pytest.approx(last_validation(work_dir), abs=EXACT)


def test_headers_of_dicom_keep_patients_together(otcxr, real_data, tmp_path):
    """No table names patients: those of pre-training, training and test come from the headers, and none is in two."""
    pytest.importorskip("pydicom")
    planted = own.dicom_folder(tmp_path / "pacs", real_data)
    (tmp_path / "mine.py").write_text(PRETRAIN.format(root="pacs", more=f'{HASH} split="train",'))
    more = f'{HASH} label_columns=("Mass", "Edema"),'
    (tmp_path / "labels.py").write_text(LABELS.format(root="pacs", more=more, classes=2))
    otcxr("train", "mine.py", *CROPS, cwd=tmp_path, check=True)
    otcxr("train", "labels.py", cwd=tmp_path, check=True)
    otcxr("test", "work_dirs/labels", cwd=tmp_path, check=True)
    assert_learnt(tmp_path / "work_dirs" / "labels", planted)
    record = json.loads((tmp_path / "work_dirs" / "labels" / "results.json").read_text())
    assert (record["train"]["patients"], record["test"]["patients"]) == (8, 4)
    groups = record["details"]["subgroups"]["sex"]["groups"]
    assert {name: group["images"] for name, group in groups.items()} == {"F": 4, "M": 4}


def test_the_scripts_of_tools_with_a_config_of_ones_own(real_data, tmp_path):
    """In a checkout; `mim train otcxr_mm` runs the same scripts, see tests/test_packaging.py."""
    planted = own.own_csv(tmp_path / "hospital", real_data)
    (tmp_path / "labels.py").write_text(LABELS.format(root="hospital", more=MAPPING, classes=3))
    process(tmp_path, ROOT / "tools" / "train.py", "labels.py", *options.cfg(options.UNTRAINED))
    process(tmp_path, ROOT / "tools" / "test.py", "work_dirs/labels")
    assert_learnt(tmp_path / "work_dirs" / "labels", planted)
