"""What must not go unseen: swapped classes, patients and preprocessing. Sides: test_masks.py.

Each mistake is made on purpose; then either the command refuses, or the assertion of the journeys fails.
"""

import shutil

import pytest

from . import options
from .figures import assert_learnt
from .own import LABELS, MAPPING
from .planted import read_csv, write_csv

pytestmark = pytest.mark.xdist_group("hospital")

SWAPPED = MAPPING.replace("COVID", "?").replace("Pneumocystis", "COVID").replace("?", "Pneumocystis")
REORDERED = 'img_prefix="images", label_columns=dict(Fungus="Pneumocystis", Virus="COVID", Bacteria="Streptococcus"),'
LEAK = "leak between training and evaluation"
OTHER_SCALE = ["model.data_preprocessor.mean=[0.0]", "model.data_preprocessor.std=[1.0]"]
SWAPPED_SPLITS = ["train_dataloader.dataset.split=test", "test_dataloader.dataset.split=train"]


def config(mapping: str) -> str:
    """A linear evaluation with such a mapping of classes."""
    return LABELS.format(root="hospital", more=mapping, classes=3)


def assert_seen(run, work_dir, planted, refusal: str | None) -> None:
    """The command has refused with these words; without any, it has run, and the journeys' assertion fails."""
    if refusal is not None:
        assert run.status != 0
        assert refusal in run.out
        assert not (work_dir / "results.json").exists()
    else:
        assert run.status == 0, run.out
        with pytest.raises(AssertionError):
            assert_learnt(work_dir, planted)


@pytest.mark.parametrize(
    ("mapping", "opts", "refusal"),
    [
        pytest.param(REORDERED, [], "scores would be read against the wrong classes", id="order of classes"),
        pytest.param(SWAPPED, [], None, id="columns of classes"),
        pytest.param(MAPPING, ["test_dataloader.dataset.split=train"], LEAK, id="training patients at test"),
        pytest.param(MAPPING, OTHER_SCALE, "std", id="mean and std"),
        pytest.param(MAPPING, ["default_hooks.consistency.strict=False", *OTHER_SCALE], None, id="mean, on purpose"),
    ],
)
def test_a_mistake_at_test(mapping, opts, refusal, otcxr, hospital, tmp_path):
    (tmp_path / "other.py").write_text(config(mapping))
    args = ["work_dirs/labels/linear.pth", "--work-dir", tmp_path, *(options.cfg(opts) if opts else [])]
    run = otcxr("test", tmp_path / "other.py", *args, cwd=hospital.root.parent)
    assert_seen(run, tmp_path, hospital, refusal)


@pytest.mark.parametrize(
    ("opts", "refusal"),
    [
        pytest.param(SWAPPED_SPLITS, LEAK, id="patients of the pre-training at test"),
        pytest.param(OTHER_SCALE, "was trained with mean", id="mean and std of the pre-training"),
    ],
)
def test_a_mistake_after_pretraining(opts, refusal, otcxr, hospital, tmp_path):
    run = otcxr("train", "labels.py", "--work-dir", tmp_path, *options.cfg(opts), cwd=hospital.root.parent)
    assert_seen(run, tmp_path, hospital, refusal)


def test_an_image_of_a_test_patient_in_training(otcxr, hospital, tmp_path):
    shutil.copytree(hospital.root, tmp_path / "hospital")
    rows = read_csv(hospital.root / "labels.csv")
    next(row for row in rows if row["patient"] == "test 0")["split"] = "train"
    write_csv(tmp_path / "hospital" / "labels.csv", ",".join(rows[0]), [row.values() for row in rows])
    (tmp_path / "labels.py").write_text(config(MAPPING))
    run = otcxr("train", "labels.py", *options.cfg(options.UNTRAINED), cwd=tmp_path)
    assert_seen(run, tmp_path / "work_dirs" / "labels", hospital, "test 0 (test, train)")
