"""A hospital's own folders: pre-training without labels, then a csv of labels, or DICOM headers for a table."""

import json

import numpy as np
import pytest

from . import options, own
from .figures import assert_learnt, recorded
from .own import LABELS, PRETRAIN

pytestmark = pytest.mark.xdist_group("hospital")

HASH = 'split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)),'


def test_classes_of_a_mapping_keep_their_columns(otcxr, hospital, tmp_path):
    folder, work_dir = hospital.root.parent, hospital.root.parent / "work_dirs" / "labels"
    figures = assert_learnt(work_dir, hospital)
    assert list(figures) == ["Virus", "Fungus", "Bacteria"]

    # the validation images, tested
    val = ["--work-dir", tmp_path / "val", *options.cfg(["test_dataloader.dataset.split=val"])]
    otcxr("test", "labels.py", work_dir / "linear.pth", *val, cwd=folder, check=True)
    tested = np.mean(list(recorded(tmp_path / "val", "multilabel/auroc").values()))
    (log,) = work_dir.glob("*/vis_data/scalars.json")
    scalars = [json.loads(line) for line in log.read_text().splitlines()]
    assert tested == pytest.approx([line["multilabel/auroc"] for line in scalars if "multilabel/auroc" in line][-1])


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
