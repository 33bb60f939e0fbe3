"""NIH ChestX-ray14: the README's order, from pre-training to the table."""

import json

import numpy as np
import pytest

from . import options, publishers
from .figures import EXACT, assert_learnt
from .planted import read_csv

# so few iterations must not undo what random features tell apart
GENTLE = ["optim_wrapper.optimizer.lr=1e-5"]


@pytest.fixture(scope="module")
def planted(tmp_path_factory, real_data):
    return publishers.nih(tmp_path_factory.mktemp("nih") / "nih", real_data)


@pytest.fixture(scope="module")
def run(tmp_path_factory, otcxr, planted):
    """Trains a shipped config and tests its work dir, which it returns; pre-training is over."""
    folder, env = tmp_path_factory.mktemp("journey"), {"OTCXR_NIH": planted.root}
    otcxr(
        "train",
        "otcxr_r50_nih.py",
        *options.cfg(options.crops(64), options.ONE_EPOCH, GENTLE, ["train_dataloader.dataset.indices=32"]),
        cwd=folder,
        env=env,
        check=True,
    )

    def evaluate(config, *more, name=None):
        work_dir = folder / "work_dirs" / (name or config.removesuffix(".py"))
        small = ["--work-dir", work_dir, *options.cfg(options.loaders(16), options.size(112), more)]
        otcxr("train", config, *small, cwd=folder, env=env, check=True)
        otcxr("test", f"work_dirs/{work_dir.name}", "--out", "figures.json", cwd=folder, env=env, check=True)
        record = json.loads((work_dir / "results.json").read_text())
        figures = json.loads((folder / "figures.json").read_text())
        assert figures == pytest.approx(record["metrics"], abs=EXACT)
        assert record["method"] == "otcxr_r50_nih"
        return work_dir

    return evaluate


def test_from_pretraining_to_a_table(otcxr, run, planted):
    linear = run("linear_r50_nih.py", "train_cfg.decays=(0.1,1,10)")
    figures = {"linear": assert_learnt(linear, planted)}
    knn = run(
        "linear_r50_nih.py", "model.head.type=otcxr_mm.KNNHead", f"train_cfg.cache={linear / 'features'}", name="knn"
    )
    figures["knn"] = assert_learnt(knn, planted, 0.6)
    # one small step, from the head of the linear evaluation
    head = [f"load_from={linear / 'linear.pth'}", "optim_wrapper.optimizer.lr=1e-5", *options.iterations(1)]
    tuned = run("finetune_r50_nih.py", *head, "train_dataloader.dataset.fraction=0.5")
    figures["finetune"] = assert_learnt(tuned, planted)
    trained = json.loads((tuned / "results.json").read_text())["train"]
    assert (trained["images"], trained["patients"]) == (16, 8)

    folder = linear.parent.parent
    otcxr("table", "work_dirs", "--out", "tables", cwd=folder, check=True)
    rows = read_csv(folder / "tables" / "table.csv")
    table = {(row["protocol"], float(row["fraction"])): float(row["value"]) for row in rows}
    assert {row["method"] for row in rows} == {"otcxr_r50_nih"}
    fractions = {"linear": 1.0, "knn": 1.0, "finetune": 0.5}
    expected = {(name, fractions[name]): np.mean(list(found.values())) for name, found in figures.items()}
    assert table == pytest.approx(expected, abs=EXACT)
