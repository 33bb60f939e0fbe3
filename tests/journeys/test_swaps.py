"""What must not go unseen: swapped classes, patients and preprocessing. Sides: test_masks.py.

Each mistake is made on purpose; then either the command refuses, or the assertion of the journeys fails.
"""

import shutil

import pytest
import torch

from . import options, own
from .figures import assert_learnt
from .planted import read_csv, write_csv
from .test_own import LABELS, MAPPING

SWAPPED = MAPPING.replace("COVID", "?").replace("Pneumocystis", "COVID").replace("?", "Pneumocystis")
REORDERED = 'img_prefix="images", label_columns=dict(Fungus="Pneumocystis", Virus="COVID", Bacteria="Streptococcus"),'
LEAK = "leak between training and evaluation"
OTHER_SCALE = ["model.data_preprocessor.mean=[0.0]", "model.data_preprocessor.std=[1.0]"]


@pytest.fixture(scope="module")
def planted(tmp_path_factory, real_data):
    return own.own_csv(tmp_path_factory.mktemp("swaps") / "hospital", real_data)


def config(mapping: str) -> str:
    """A linear evaluation with such a mapping of classes."""
    return LABELS.format(root="hospital", more=mapping, classes=3)


@pytest.fixture(scope="module")
def trained(otcxr, planted):
    """A folder with a tested linear evaluation."""
    folder = planted.root.parent
    (folder / "labels.py").write_text(config(MAPPING))
    otcxr("train", "labels.py", *options.cfg(options.UNTRAINED), cwd=folder, check=True)
    otcxr("test", "work_dirs/labels", cwd=folder, check=True)
    assert_learnt(folder / "work_dirs" / "labels", planted)
    return folder


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
def test_a_mistake_at_test(mapping, opts, refusal, otcxr, trained, planted, tmp_path):
    (trained / "other.py").write_text(config(mapping))
    args = options.cfg(opts) if opts else []
    run = otcxr("test", "other.py", "work_dirs/labels/linear.pth", "--work-dir", tmp_path, *args, cwd=trained)
    assert_seen(run, tmp_path, planted, refusal)


def test_rows_of_the_checkpoint_in_another_order(otcxr, trained, planted, tmp_path):
    checkpoint = torch.load(trained / "work_dirs" / "labels" / "linear.pth", weights_only=True)
    for name in ("head.fc.weight", "head.fc.bias"):
        checkpoint["state_dict"][name] = checkpoint["state_dict"][name][[1, 0, 2]]
    torch.save(checkpoint, tmp_path / "linear.pth")
    run = otcxr("test", "labels.py", tmp_path / "linear.pth", "--work-dir", tmp_path, cwd=trained)
    assert_seen(run, tmp_path, planted, None)


@pytest.mark.parametrize("images", [1, 2], ids=["one image of a patient", "a whole patient"])
def test_a_test_patient_in_training(images, otcxr, trained, planted, tmp_path):
    """One image is a leak, which the command refuses; without a patient the test set is another one."""
    shutil.copytree(planted.root, tmp_path / "hospital")
    rows = read_csv(planted.root / "labels.csv")
    for row in [row for row in rows if row["patient"] == "test 0"][:images]:
        row["split"] = "train"
    write_csv(tmp_path / "hospital" / "labels.csv", ",".join(rows[0]), [row.values() for row in rows])
    (tmp_path / "labels.py").write_text(config(MAPPING))
    run = otcxr("train", "labels.py", *options.cfg(options.UNTRAINED), cwd=tmp_path)
    if images == 2:
        run = otcxr("test", "work_dirs/labels", cwd=tmp_path)
    assert_seen(run, tmp_path / "work_dirs" / "labels", planted, "test 0 (test, train)" if images == 1 else None)


PRETRAIN = """
_base_ = ["otcxr_mm::otcxr_r18_cpu.py"]
train_dataloader = dict(
    dataset=dict(_delete_=True, type="otcxr_mm.UnlabeledCXR", data_root="hospital", ann_file="labels.csv",
        img_prefix="images", split="{split}", pipeline=_base_.train_pipeline)
)
"""


@pytest.mark.parametrize(
    ("split", "opts", "refusal"),
    [
        pytest.param("test", [], LEAK, id="test patients in pre-training"),
        pytest.param("train", OTHER_SCALE, "was trained with mean", id="mean and std of pre-training"),
    ],
)
def test_a_mistake_after_pretraining(split, opts, refusal, otcxr, trained, planted):
    name = f"pretrained_on_{split}"
    (trained / f"{name}.py").write_text(PRETRAIN.format(split=split))
    few = options.cfg(options.loaders(8, "train"), options.ONE_EPOCH)
    otcxr("train", f"{name}.py", *few, cwd=trained, check=True)
    backbone = [f"default_hooks.load_backbone.checkpoint=work_dirs/{name}/backbone.pth"]
    run = otcxr("train", "labels.py", "--work-dir", f"refused_{split}", *options.cfg(backbone, opts), cwd=trained)
    assert_seen(run, trained / f"refused_{split}", planted, refusal)
