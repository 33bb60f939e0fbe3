import json

import numpy as np
import pytest

from otcxr_mm.reports import build_tables, compare_runs, load_runs, rename, tasks
from otcxr_mm.reports.text import title
from tests.evaluation.records import CLASSES, replace_arrays, write_run

DRAWS = 30
ARRAYS = ("patient", "sample_idx", "labels", "scores")


def test_runs_on_other_images_are_grouped_apart_and_not_compared(tmp_path):
    a = write_run(tmp_path / "a", "a")
    b = write_run(tmp_path / "b", "b", test=dict(sha256="b" * 64, split="val"))
    runs = load_runs([a, b])
    assert tasks(runs) == [[run] for run in runs]
    with pytest.raises(ValueError, match=f"{a} and {b} were not tested on the same: .*'SHA-256 a+'.*'SHA-256 b+'"):
        compare_runs(*runs)


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
    assert len(load_runs([a, tmp_path])) == 2
    with pytest.raises(ValueError, match=f"{a} and {b} have the same protocol, .* --name {b}=NAME"):
        tasks(load_runs([a, b]))


@pytest.mark.parametrize(("name", "kept"), [("predictions.npz", 200), ("results.json", 20)])
def test_a_missing_or_damaged_file_is_an_error(tmp_path, name, kept):
    file = write_run(tmp_path / "run") / name
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match="results.json: not a readable record"):
        load_runs([tmp_path])
    file.unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load_runs([tmp_path])


@pytest.mark.parametrize(
    "changes",
    [
        dict(task="regression"),
        dict(protocol=None),
        dict(seed="a"),
        dict(fraction="1"),
        dict(test="x"),
        dict(test=dict(classes=["a", 1, "b"])),
        dict(test=dict(classes=["a"])),
        dict(test=dict(sha256=None)),
        dict(arrays=dict(scores=np.zeros((120, 3), "U5"))),
        dict(arrays=dict(patient=np.zeros((120, 2)))),
        dict(arrays=dict(labels=np.zeros(()))),
        dict(arrays={name: np.zeros((0, 3)[: 1 + (name in ("labels", "scores"))]) for name in ARRAYS}),
    ],
    ids=str,
)
def test_a_record_of_other_kinds_is_an_error(tmp_path, changes):
    arrays = changes.pop("arrays", {})
    if isinstance(changes.get("test"), str):
        record = json.loads((write_run(tmp_path / "run") / "results.json").read_text())
        (tmp_path / "run" / "results.json").write_text(json.dumps(record | changes))
    else:
        replace_arrays(write_run(tmp_path / "run", **changes), **arrays)
    with pytest.raises(ValueError, match="results.json: not a readable record"):
        load_runs([tmp_path])


def test_names_in_tables(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / name, noise=ord(name))
    runs = load_runs([tmp_path / "a", tmp_path / "b"])
    rename(runs, {str(tmp_path / "b"): "another", "NIHChestXray14": "Our hospital"})
    (table,) = build_tables(tasks(runs), draws=DRAWS)
    assert table.cells["method"].tolist() == ["otcxr", "another"]
    assert title(table) == "AUROC: Our hospital, test"
    with pytest.raises(ValueError, match="--name nobody=x: there is no such method"):
        rename(runs, {"nobody": "x"})


def test_a_comparison_has_the_differences_of_a_table(tmp_path):
    for name, strength in (("a", 2.0), ("b", 0.3)):
        write_run(tmp_path / name, name, strength)
    a, b = load_runs([tmp_path / "a", tmp_path / "b"])
    rows = compare_runs(a, b, draws=DRAWS)
    names = ["macro", *CLASSES]
    assert [(row["metric"], row["class"]) for row in rows] == [(m, name) for m in ("auroc", "auprc") for name in names]
    assert [row["p"] is not None for row in rows] == [False] + [True] * 3 + [False] * 4
    (table,) = build_tables([[a, b]], by="class", reference="b", draws=DRAWS)
    expected = table.cells[table.cells["method"] == "a"][["value", "difference", "difference_low", "difference_high"]]
    found = [[row[key] for key in ("a", "difference", "low", "high")] for row in rows[:4]]
    np.testing.assert_array_equal(found, expected)
