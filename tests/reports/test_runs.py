import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from otcxr_mm.reports import compare_runs, load_runs, tasks
from tests.evaluation.records import CLASSES, few_patients, replace_arrays, write_masks, write_run
from tests.reports.slow import slow

DRAWS = 30


def test_runs_on_other_images_are_refused_or_grouped_apart(tmp_path):
    a = write_run(tmp_path / "a", "a")
    b = write_run(tmp_path / "b", "b", test=dict(sha256="b" * 64, split="val"))
    message = f"{a} and {b} were tested on different images: split 'test', 120 images, SHA-256 a+ and split 'val', 120"
    with pytest.raises(ValueError, match=message):
        tasks(load_runs([a, b]))
    assert [len(group) for group in tasks(load_runs([a, b]), by_test_set=True)] == [1, 1]


@pytest.mark.parametrize("name", ["sample_idx", "labels", "patient"])
def test_runs_on_other_predictions_are_refused(tmp_path, name):
    a, b = write_run(tmp_path / "a", "a"), write_run(tmp_path / "b", "b")
    values = np.load(b / "predictions.npz")[name]
    values[-1] = 1 - values[-1]
    replace_arrays(b, **{name: values})
    with pytest.raises(ValueError, match=f"{a} and {b} differ in {name}: test both again"):
        tasks(load_runs([a, b]))


def test_a_run_given_twice_is_one_but_a_copy_is_refused(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    assert len(load_runs([a, a / "results.json", tmp_path])) == 2
    with pytest.raises(ValueError, match=f"{a} and {b} are the same run: .* --name {b}=NAME"):
        tasks(load_runs([a, b]))


def test_a_missing_record_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no results.json"):
        load_runs([tmp_path / "nowhere"])
    folder = write_run(tmp_path / "run")
    (folder / "predictions.npz").unlink()
    with pytest.raises(FileNotFoundError, match="predictions.npz: not found"):
        load_runs([folder])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("predictions.npz", lambda data: data[:200]),
        ("predictions.npz", lambda data: b""),
        ("predictions.npz", lambda data: data[:300] + b"\0" * 40 + data[340:]),
        ("results.json", lambda data: b"{"),
        ("results.json", lambda data: b"[]"),
        ("results.json", lambda data: json.dumps({**json.loads(data), "test": {}}).encode()),
    ],
)
def test_a_damaged_or_foreign_record_is_an_error(tmp_path, name, damage):
    file = write_run(tmp_path / "run") / name
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match="results.json: not a readable record"):
        load_runs([tmp_path])


def test_a_comparison_matches_a_slow_loop(tmp_path):
    a, b = write_run(tmp_path / "a", "a", 2.0), write_run(tmp_path / "b", "b", 0.3)
    rows = compare_runs(*load_runs([a, b]), draws=DRAWS)
    names = ["macro", *CLASSES]
    assert [(row["metric"], row["class"]) for row in rows] == [(m, name) for m in ("auroc", "auprc") for name in names]
    expected = slow([a], roc_auc_score, DRAWS) - slow([b], roc_auc_score, DRAWS)
    found = [rows[0][key] for key in ("difference", "low", "high")]
    assert found == pytest.approx([expected[0], *np.percentile(expected[1:], [2.5, 97.5])], abs=1e-6)
    assert rows[0]["a"] - rows[0]["b"] == pytest.approx(rows[0]["difference"])
    assert [row["p"] is not None for row in rows] == [False] + [True] * 3 + [False] * 4


def test_a_comparison_of_masks(tmp_path):
    masks = [write_masks(tmp_path / f"m{q}", "m", q) for q in (0.7, 0.9)]
    rows = compare_runs(*load_runs(masks), draws=DRAWS)
    assert [row["metric"] for row in rows if row["class"] == "macro"] == ["dice", "iou", "hd95"]
    assert rows[0]["high"] < 0 < rows[6]["low"]


def test_a_comparison_of_few_patients_has_neither_interval_nor_p(tmp_path):
    folders = [few_patients(write_run(tmp_path / name, name)) for name in "ab"]
    row = compare_runs(*load_runs(folders), draws=DRAWS)[2]
    assert row["class"] == "Hernia" and row["difference"]
    assert row["low"] is row["high"] is row["p"] is None
