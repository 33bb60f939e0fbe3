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
from .own import LABELS, PRETRAIN

pytestmark = pytest.mark.xdist_group("hospital")

HASH = 'split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)),'


def last_validation(work_dir: Path) -> float:
    """Macro AUROC on the validation images at the end of training."""
    (log,) = work_dir.glob("*/vis_data/scalars.json")
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [line["multilabel/auroc"] for line in found if "multilabel/auroc" in line][-1]


def test_classes_of_a_mapping_keep_their_columns(otcxr, hospital, tmp_path):
    folder, work_dir = hospital.root.parent, hospital.root.parent / "work_dirs" / "labels"
    figures = assert_learnt(work_dir, hospital)
    assert list(figures) == ["Virus", "Fungus", "Bacteria"]

    otcxr("test", "work_dirs/labels", "--work-dir", tmp_path / "again", cwd=folder, check=True)
    assert assert_learnt(tmp_path / "again", hospital) == pytest.approx(figures, abs=EXACT)
    scores = [np.load(place / "predictions.npz")["scores"] for place in (work_dir, tmp_path / "again")]
    np.testing.assert_allclose(*scores, atol=EXACT)

    # the validation images, tested
    val = ["--work-dir", tmp_path / "val", *options.cfg(["test_dataloader.dataset.split=val"])]
    otcxr("test", "labels.py", work_dir / "linear.pth", *val, cwd=folder, check=True)
    tested = np.mean(list(recorded(tmp_path / "val", "auroc").values()))
    assert tested == pytest.approx(last_validation(work_dir), abs=EXACT)


def test_headers_of_dicom_keep_patients_together(otcxr, real_data, tmp_path):
    """No table names patients: those of pre-training, training and test come from the headers, and none is in two."""
    pytest.importorskip("pydicom")
    planted = own.dicom_folder(tmp_path / "pacs", real_data)
    (tmp_path / "mine.py").write_text(PRETRAIN.format(root="pacs", more=f'{HASH} split="train",'))
    more = f'{HASH} label_columns=("Mass", "Edema"),'
    (tmp_path / "labels.py").write_text(LABELS.format(root="pacs", more=more, classes=2))
    otcxr("train", "mine.py", *own.CROPS, cwd=tmp_path, check=True)
    otcxr("train", "labels.py", cwd=tmp_path, check=True)
    otcxr("test", "work_dirs/labels", cwd=tmp_path, check=True)
    assert_learnt(tmp_path / "work_dirs" / "labels", planted)
    record = json.loads((tmp_path / "work_dirs" / "labels" / "results.json").read_text())
    assert (record["train"]["patients"], record["test"]["patients"]) == (8, 4)
    groups = record["details"]["subgroups"]["sex"]["groups"]
    assert {name: group["images"] for name, group in groups.items()} == {"F": 4, "M": 4}


def test_the_script_of_a_checkout_in_a_process_of_its_own(hospital, tmp_path):
    """`mim test otcxr_mm` runs the same script; tools/train.py: tests/test_distributed.py."""
    command = [sys.executable, ROOT / "tools" / "test.py", "work_dirs/labels", "--work-dir", tmp_path]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=hospital.root.parent, env=env, check=True, timeout=300)
    assert_learnt(tmp_path, hospital)
