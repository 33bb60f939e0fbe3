import csv
import io
import json
import re

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from otcxr_mm.reports import (
    build_tables,
    compare_runs,
    load_runs,
    rename,
    table_csv,
    table_latex,
    table_markdown,
    tasks,
)
from otcxr_mm.reports.pair import pair_rows
from otcxr_mm.reports.picture import table_picture
from otcxr_mm.reports.text import escape
from tests.evaluation.records import CLASSES, write_masks, write_run

DRAWS = 30


def tables(*folders, **kwargs):
    return build_tables(tasks(load_runs(folders)), draws=DRAWS, **kwargs)


def slow(folders, metric):
    """Macro of the mean over runs, on the test set and on each draw: a loop over draws of repeated images."""
    rows = []
    for folder in folders:
        arrays = np.load(folder / "predictions.npz")
        patient, count = arrays["patient"], int(arrays["patient"].max()) + 1
        counts = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=DRAWS)
        drawn = []
        for weight in [np.ones(count, int), *counts]:
            images = np.repeat(np.arange(len(patient)), weight[patient])
            values = []
            for c in range(3):
                y, s = arrays["labels"][images, c], arrays["scores"][images, c]
                known = np.isfinite(y)
                values.append(metric(y[known], s[known]))
            drawn.append(np.mean(values))
        rows.append(drawn)
    # runs are drawn with replacement, too
    n = len(rows)
    times = np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), size=DRAWS + 1)
    times[0] = 1
    return np.array([np.mean(np.repeat([row[d] for row in rows], times[d])) for d in range(DRAWS + 1)])


def test_the_interval_of_a_mean_knows_that_runs_differ(tmp_path):
    """Five runs that differ much, and five times the same: the means are alike, not how sure they are."""
    for draw, noise in enumerate((0.3, 0.8, 1.5, 3.0, 6.0)):
        write_run(tmp_path / "apart" / str(draw), "apart", noise, draw=draw, fraction=0.1)
        write_run(tmp_path / "alike" / str(draw), "alike", 1.5, draw=draw, fraction=0.1)
    (table,) = build_tables(tasks(load_runs([tmp_path])), draws=300)
    apart, alike = (table.cells["linear", name, 0.1] for name in ("apart", "alike"))
    assert apart.high - apart.low > 1.5 * (alike.high - alike.low)


@pytest.mark.parametrize(("metric", "reference"), [("auroc", roc_auc_score), ("auprc", average_precision_score)])
def test_figures_are_those_of_a_slow_loop(tmp_path, metric, reference):
    ours = [write_run(tmp_path / f"ours{d}", "ours", 1.5, draw=d, fraction=0.1) for d in range(5)]
    theirs = [write_run(tmp_path / f"theirs{d}", "theirs", 0.5, draw=d, fraction=0.1) for d in range(5)]
    full = write_run(tmp_path / "full", "ours", 2.0)
    (table,) = tables(tmp_path, metric=metric, reference="theirs")
    assert table.columns == [0.1, 1.0]
    a, b = slow(ours, reference), slow(theirs, reference)
    cell = table.cells["linear", "ours", 0.1]
    assert (cell.value, cell.low, cell.high) == pytest.approx((a[0], *np.percentile(a[1:], [2.5, 97.5])), abs=1e-6)
    assert cell.sd == pytest.approx(np.std([slow([run], reference)[0] for run in ours], ddof=1), abs=1e-6)
    assert len(cell.runs) == 5
    difference = table.differences["linear", "ours", 0.1]
    low, high = np.percentile((a - b)[1:], [2.5, 97.5])
    assert (difference.value, difference.low, difference.high) == pytest.approx((a[0] - b[0], low, high), abs=1e-6)
    one = table.cells["linear", "ours", 1.0]
    assert one.value == pytest.approx(slow([full], reference)[0], abs=1e-6)
    assert one.sd is None
    # nothing to be better than, and no reference there
    assert not one.best
    assert ("linear", "ours", 1.0) not in table.differences
    text = table_markdown(table)
    assert re.search(r"\| linear   \| ours   \| \*\*0\.\d{3}\*\* \[0\.\d{3}, 0\.\d{3}\] x5 \| 0\.\d{3} \[", text)
    assert "seeds: 0; draws: 0, 1, 2, 3, 4." in text


def test_differences_are_over_the_draws_that_both_have(tmp_path):
    for draw in range(3):
        write_run(tmp_path / f"a{draw}", "a", 1.5, draw=draw, fraction=0.1)
    write_run(tmp_path / "b", "b", 0.5, draw=2, fraction=0.1)
    (table,) = tables(tmp_path, reference="b")
    assert [run.record["draw"] for run in table.differences["linear", "a", 0.1].runs] == [2]
    assert len(table.cells["linear", "a", 0.1].runs) == 3


def test_by_class(tmp_path):
    write_run(tmp_path / "a", "a")
    write_run(tmp_path / "b", "b", fraction=0.1)
    full, small = tables(tmp_path, by="class")[::-1]
    assert full.columns == ["macro", *CLASSES]
    assert (full.fraction, small.fraction) == (1.0, 0.1)
    arrays = np.load(tmp_path / "a" / "predictions.npz")
    expected = roc_auc_score(arrays["labels"][:, 2], arrays["scores"][:, 2])
    assert full.cells["linear", "a", "Edema"].value == pytest.approx(expected)
    assert "AUROC by class: NIHChestXray14, test, 10 % of the training patients" in table_markdown(small)


def test_a_class_that_no_draw_defines_is_left_out(tmp_path):
    folder = write_run(tmp_path / "a", "a")
    arrays = dict(np.load(folder / "predictions.npz"))
    arrays["labels"][:, 1] = 0
    np.savez_compressed(folder / "predictions.npz", **arrays)
    (table,) = tables(folder, by="class")
    assert table.cells["linear", "a", "Hernia"].value is None
    values = [table.cells["linear", "a", name].value for name in ("Mass", "Edema")]
    assert table.cells["linear", "a", "macro"].value == pytest.approx(np.mean(values))
    assert re.search(r"\| – +\|", table_markdown(table))


def test_a_class_with_few_patients_has_a_dash_for_its_interval(tmp_path):
    folders = [write_run(tmp_path / name, name, strength) for name, strength in (("a", 1.0), ("b", 2.0))]
    for folder in folders:
        arrays = dict(np.load(folder / "predictions.npz"))
        arrays["labels"][:, 1] = np.isin(arrays["patient"], range(9))
        np.savez_compressed(folder / "predictions.npz", **arrays)
    (table,) = tables(tmp_path, by="class", reference="a")
    for name, given in (("Mass", True), ("Edema", True), ("Hernia", False), ("macro", False)):
        cell, difference = table.cells["linear", "b", name], table.differences["linear", "b", name]
        assert None not in (cell.value, difference.value)
        assert [(x.low is not None, x.high is not None) for x in (cell, difference)] == [(given, given)] * 2
    text = table_markdown(table)
    macro, mass, hernia, edema = (f"{table.cells['linear', 'b', name].value:.3f}" for name in ("macro", *CLASSES))
    assert re.search(rf"\| \*\*{macro}\*\* \[–\] +\| \*\*{mass}\*\* \[0\.\d+, 0\.\d+\] ", text)
    assert "- [–]: no interval, a class has fewer than 10 patients with the finding, or without it." in text
    assert hernia in table_latex(table) and table_picture(table)
    rows = {row["class"]: row for row in csv.DictReader(io.StringIO(table_csv([table]))) if row["method"] == "b"}
    assert rows["Hernia"]["low"] == rows["Hernia"]["difference_high"] == "" != rows["Hernia"]["value"]
    compared = {(row["metric"], row["class"]): row for row in compare_runs(*load_runs(folders), draws=DRAWS)}
    few = compared["auroc", "Hernia"]
    assert few["difference"] and few["low"] is few["high"] is few["p"] is None and compared["auroc", "Mass"]["p"]
    assert pair_rows([few])[0][4] == f"{few['difference']:+.3f} [–]"


def test_best_is_marked_within_a_protocol_and_ties_all(tmp_path):
    write_run(tmp_path / "a", "a", 1.5, noise=1)
    write_run(tmp_path / "b", "b", 1.5, noise=1)
    write_run(tmp_path / "c", "c", 0.2, noise=1)
    write_run(tmp_path / "d", "d", 9.0, noise=1, protocol="finetune")
    (table,) = tables(tmp_path)
    assert {key[1]: cell.best for key, cell in table.cells.items()} == {"a": True, "b": True, "c": False, "d": False}


def test_distances_are_better_when_short(tmp_path):
    write_masks(tmp_path / "good", "good", 0.9)
    write_masks(tmp_path / "bad", "bad", 0.7)
    for metric in ("dice", "hd95"):
        (table,) = tables(tmp_path, metric=metric, reference="bad")
        arrays = np.load(tmp_path / "good" / "predictions.npz")
        cell = table.cells["linear", "good", 1.0]
        assert cell.best and not table.cells["linear", "bad", 1.0].best
        assert cell.value == pytest.approx(arrays[metric].mean())
        assert cell.low < cell.value < cell.high
        assert (table.differences["linear", "good", 1.0].value < 0) == (metric == "hd95")
    assert "HD95 (pixel), lower is better; " in table_markdown(table)
    write_masks(tmp_path / "other", "other", hd95_unit="mm")
    with pytest.raises(ValueError, match=r"HD95 in mm .*in pixel"):
        tables(tmp_path, metric="hd95")
    assert len(tables(tmp_path, metric="dice")) == 1


def test_different_tasks_are_different_tables(tmp_path):
    write_run(tmp_path / "nih", "a")
    write_run(tmp_path / "kermany", "a", test=dict(type="PackedCXR", sha256="b" * 64, classes=["x", "y", "z"]))
    write_masks(tmp_path / "lungs", "a")
    found = tables(tmp_path)
    assert sorted((t.task, t.metric) for t in found) == [("classification", "auroc")] * 2 + [("segmentation", "dice")]
    assert [t.metric for t in tables(tmp_path, metric="iou")] == ["iou"]
    with pytest.raises(ValueError, match="--metric dice: these runs are of classification"):
        tables(tmp_path / "nih", metric="dice")
    with pytest.raises(ValueError, match="--reference b: no such method; there are a"):
        tables(tmp_path, reference="b")


def test_other_test_images_are_refused(tmp_path):
    a = write_run(tmp_path / "a", "a")
    b = write_run(tmp_path / "b", "b", test=dict(sha256="b" * 64, split="val"))
    message = (
        f"{a} and {b} were tested on different images: split 'test', 120 images, SHA-256 aaaaaaaaaaaa and split 'val', "
        "120 images, SHA-256 bbbbbbbbbbbb. Test them on the same, or give --by-test-set for a table of each"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        tables(a, b)
    assert len(tasks(load_runs([a, b]), by_test_set=True)) == 2


def test_other_classes_on_the_same_images_are_refused(tmp_path):
    a = write_run(tmp_path / "a", "a")
    b = write_run(tmp_path / "b", "b", test=dict(classes=CLASSES[::-1]))
    with pytest.raises(ValueError, match="different classes: Mass, Hernia, Edema and Edema, Hernia, Mass. Test them"):
        tables(a, b)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sample_idx", "sample_idx differs in their predictions.npz. Test both again with the same test_dataloader"),
        ("labels", "labels of 1 of 120 images differ in their predictions.npz. Test both again"),
        ("patient", "the patients differ in their predictions.npz. One of them was tested with otcxr_mm.PackCXR"),
    ],
)
def test_other_predictions_are_refused(tmp_path, name, message):
    a, b = write_run(tmp_path / "a", "a"), write_run(tmp_path / "b", "b")
    arrays = dict(np.load(b / "predictions.npz"))
    arrays[name][-1] = 1 - arrays[name][-1] if name == "labels" else 5000
    arrays[name][-1] = 0 if name == "patient" and load_runs([a])[0].arrays["patient"][-1] else arrays[name][-1]
    np.savez_compressed(b / "predictions.npz", **arrays)
    with pytest.raises(ValueError, match=re.escape(f"{a} and {b}: {message}")):
        tables(a, b)


def test_another_order_of_the_images_changes_nothing(tmp_path):
    a, b = write_run(tmp_path / "a", "a"), write_run(tmp_path / "b", "b")
    (before,) = tables(a, b)
    order = np.random.default_rng(3).permutation(120)
    np.savez_compressed(b / "predictions.npz", **{k: v[order] for k, v in np.load(b / "predictions.npz").items()})
    (after,) = tables(a, b)
    key = ("linear", "b", 1.0)
    assert vars(after.differences[key])["low"] == vars(before.differences[key])["low"]


def test_a_run_twice_is_refused_and_a_name_helps(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", noise=5)
    message = (
        f"{a} and {b} are the same run: method 'otcxr', protocol 'linear', fraction 1, draw 0, seed 0. Leave one of "
        f"them out, or name one otherwise, as in --name {b}=NAME"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        tables(a, b)
    runs = load_runs([a, b, a])  # given twice, it is one
    rename(runs, {str(b): "another"})
    assert [run.method for run in runs] == ["otcxr", "another"]
    assert len(build_tables(tasks(runs), draws=DRAWS)[0].rows) == 2
    rename(runs, {runs[0].test["type"]: "Our hospital"})
    assert build_tables(tasks(runs), draws=DRAWS)[0].title.startswith("AUROC: Our hospital")
    with pytest.raises(ValueError, match="--name nobody=x: neither a run, a data set nor one of the methods otcxr"):
        rename(runs, {"nobody": "x"})


def test_other_training_images_are_told_under_the_table(tmp_path):
    a = write_run(tmp_path / "a", "a", train=dict(sha256="c" * 64))
    b = write_run(tmp_path / "b", "b", train=dict(sha256="d" * 64))
    write_run(tmp_path / "c", "c", train=dict(sha256="e" * 64), draw=1)
    write_run(tmp_path / "d", "d")
    (table,) = tables(tmp_path)
    assert table.warnings == [
        f"{a} and {b} were trained on different images, though fraction 1 and draw 0 are the same: cccccccccccc and "
        "dddddddddddd"
    ]
    assert f"- Warning: {a} and {b} were" in table_markdown(table)


def test_what_is_no_record(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no results.json \(no such folder\)\. The test writes it"):
        load_runs([tmp_path / "nowhere"])
    with pytest.raises(FileNotFoundError, match=r"no results.json. The test writes it: otcxr test CONFIG"):
        load_runs([tmp_path])
    folder = write_run(tmp_path / "run")
    predictions, results = folder / "predictions.npz", folder / "results.json"
    whole, record = predictions.read_bytes(), json.loads(results.read_text())
    for damage in (whole[:200], whole[: len(whole) // 2], b"", whole[:300] + b"\0" * 40 + whole[340:]):
        predictions.write_bytes(damage)
        with pytest.raises(ValueError, match=re.escape(f"{predictions}: damaged")):
            load_runs([folder])
    predictions.unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(f"{predictions}: no such file. It is written beside")):
        load_runs([folder])
    np.savez(predictions, sample_idx=np.arange(3))
    with pytest.raises(ValueError, match=re.escape(f"{predictions}: lacks patient, scores, labels")):
        load_runs([folder])
    predictions.write_bytes(whole)
    for change, message in (
        (dict(test={**record["test"], "images": 7}), "but 7 test images in results.json"),
        (dict(test={**record["test"], "classes": ["a"]}), "3 classes, but 1 names in results.json"),
        (dict(version=2), "record of version 2, not 1: test this run again"),
        (dict(task="detection"), "task 'detection' is not known"),
    ):
        results.write_text(json.dumps({**record, **change}))
        with pytest.raises(ValueError, match=re.escape(message)):
            load_runs([folder])
    del record["seed"]
    results.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="the record lacks seed"):
        load_runs([folder])
    results.write_text("{")
    with pytest.raises(ValueError, match="no valid JSON"):
        load_runs([folder])
    results.write_text("[]")
    with pytest.raises(ValueError, match="no record of otcxr_mm.ResultsHook"):
        load_runs([folder])


def test_latex_escapes():
    assert escape(r"50 % of a_b & c^2 {~\#$}") == (
        r"50 \% of a\_b \& c\textasciicircum{}2 \{\textasciitilde{}\textbackslash{}\#\$\}"
    )


def test_names_with_special_characters_stay_whole(tmp_path):
    write_run(tmp_path / "a", "a|b_50%")
    write_run(tmp_path / "b", "plain")
    (table,) = tables(tmp_path)
    assert r"a\|b_50%" in table_markdown(table)
    latex = table_latex(table)
    assert r"a\textbar{}b\_50\%" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 2
    assert not re.search(r"(?<!\\)[%_#]", latex.replace("%\n", ""))
    rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {row.count(" & ") for row in rows} == {2}


def test_csv_holds_every_cell_unrounded(tmp_path):
    for draw in range(2):
        write_run(tmp_path / f"a{draw}", "a, b", draw=draw, seed=draw)
        write_run(tmp_path / f"c{draw}", "random init", draw=draw, seed=draw)
    (table,) = tables(tmp_path)
    assert table.reference == "random init"
    rows = list(csv.DictReader(io.StringIO(table_csv([table]))))
    assert [row["method"] for row in rows] == ["a, b", "random init"]
    cell, difference = table.cells["linear", "a, b", 1.0], table.differences["linear", "a, b", 1.0]
    assert float(rows[0]["value"]) == cell.value
    assert float(rows[0]["sd"]) == cell.sd
    assert float(rows[0]["difference_low"]) == difference.low
    assert (rows[0]["seeds"], rows[0]["draws"], rows[0]["runs"]) == ("0 1", "0 1", "2")
    assert rows[1]["difference"] == rows[1]["reference"] == ""


def test_pictures_hold_every_method(tmp_path):
    for fraction in (0.01, 1.0):
        for i in range(9):
            write_run(tmp_path / f"{i}_{fraction}", f"a_long_name_of_a_method_number_{i}", fraction=fraction)
    (table,) = tables(tmp_path)
    figure = table_picture(table)
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 9
    (axis,) = figure.axes
    assert len({line.get_marker() for line in axis.get_lines() if line.get_marker() not in ("None", "")}) == 9
    figure.savefig(io.BytesIO())
    for one in tables(tmp_path, by="class"):
        (axis,) = table_picture(one).axes
        assert [text.get_text() for text in axis.get_yticklabels()] == ["macro", *CLASSES]


def test_two_runs(tmp_path):
    a, b = write_run(tmp_path / "a", "a", 2.0), write_run(tmp_path / "b", "b", 0.3)
    rows = compare_runs(*load_runs([a, b]), draws=DRAWS)
    assert [(row["metric"], row["class"]) for row in rows[:5]] == [
        *(("auroc", name) for name in ("macro", *CLASSES)),
        ("auprc", "macro"),
    ]
    expected = slow([a], roc_auc_score) - slow([b], roc_auc_score)
    low, high = np.percentile(expected[1:], [2.5, 97.5])
    found = rows[0]["difference"], rows[0]["low"], rows[0]["high"]
    assert found == pytest.approx((expected[0], low, high), abs=1e-6)
    assert rows[0]["a"] - rows[0]["b"] == pytest.approx(rows[0]["difference"])
    masks = [write_masks(tmp_path / f"m{q}", "m", q) for q in (0.7, 0.9)]
    rows = compare_runs(*load_runs(masks), draws=DRAWS)
    assert [(row["metric"], row["class"]) for row in rows[::3]] == [
        ("dice", "macro"),
        ("iou", "macro"),
        ("hd95", "macro"),
    ]
    assert rows[0]["high"] < 0 < rows[6]["low"]
    with pytest.raises(ValueError, match="task differ: classification and segmentation"):
        compare_runs(*load_runs([a, masks[0]]), draws=DRAWS)
