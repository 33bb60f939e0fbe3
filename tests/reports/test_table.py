import csv
import io
import re

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from otcxr_mm.reports import build_tables, load_runs, table_csv, table_latex, table_markdown, tasks
from otcxr_mm.reports.picture import table_picture
from otcxr_mm.reports.text import title
from tests.evaluation.records import CLASSES, few_patients, replace_arrays, write_masks, write_run

DRAWS = 30


def tables(*folders, **kwargs):
    return build_tables(tasks(load_runs(folders)), **{"draws": DRAWS, **kwargs})


def cell(table, method, fraction=1.0, name="macro"):
    """The one row of this figure."""
    cells = table.cells
    (row,) = cells[
        (cells["method"] == method) & (cells["fraction"] == fraction) & (cells["class"] == name)
    ].itertuples()
    return row


def slow(folders, metric, draws):
    """Macro of the mean over runs, on the test set and on each draw: a loop over draws of repeated images."""
    rows = []
    for folder in folders:
        arrays = np.load(folder / "predictions.npz")
        patient, count = arrays["patient"], int(arrays["patient"].max()) + 1
        counts = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=draws)
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
    times = np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), size=draws + 1)
    times[0] = 1
    return np.array([np.mean(np.repeat([row[d] for row in rows], times[d])) for d in range(draws + 1)])


@pytest.mark.parametrize(("metric", "reference"), [("auroc", roc_auc_score), ("auprc", average_precision_score)])
def test_figures_match_a_slow_loop(tmp_path, metric, reference):
    ours = [write_run(tmp_path / f"ours{d}", "ours", 1.5, draw=d, fraction=0.1) for d in range(5)]
    theirs = [write_run(tmp_path / f"theirs{d}", "theirs", 0.5, draw=d, fraction=0.1) for d in range(5)]
    full = write_run(tmp_path / "full", "ours", 2.0)
    (table,) = tables(tmp_path, metric=metric, reference="theirs")
    a, b = (slow(folders, reference, DRAWS) for folders in (ours, theirs))
    found = cell(table, "ours", 0.1)
    ends = np.percentile(a[1:], [2.5, 97.5])
    assert (found.value, found.low, found.high) == pytest.approx((a[0], *ends), abs=1e-6)
    assert found.sd == pytest.approx(np.std([slow([run], reference, 0)[0] for run in ours], ddof=1), abs=1e-6)
    ends = np.percentile((a - b)[1:], [2.5, 97.5])
    differences = (found.difference, found.difference_low, found.difference_high)
    assert differences == pytest.approx((a[0] - b[0], *ends), abs=1e-6)
    one = cell(table, "ours", 1.0)
    assert one.value == pytest.approx(slow([full], reference, 0)[0], abs=1e-6)
    # a single run, without a rival or a reference
    assert not one.best and np.isnan([one.sd, one.difference]).all()
    text = table_markdown(table)
    assert re.search(r"\| linear   \| ours   \| \*\*0\.\d{3}\*\* \[0\.\d{3}, 0\.\d{3}\] x5 \| 0\.\d{3} \[", text)
    assert "seeds: 0; draws: 0, 1, 2, 3, 4." in text


def test_differences_are_over_the_draws_that_both_have(tmp_path):
    for draw in range(3):
        write_run(tmp_path / f"a{draw}", "a", 1.5, draw=draw)
    write_run(tmp_path / "b", "b", 0.5, draw=2)
    (table,) = tables(tmp_path, reference="b")
    (of_two,) = tables(tmp_path / "a2", tmp_path / "b", reference="b")
    a = cell(table, "a")
    assert (a.runs, a.difference_runs) == (3, 1)
    assert a.difference == cell(of_two, "a").difference


def test_columns_of_classes(tmp_path):
    a = write_run(tmp_path / "a", "a")
    write_run(tmp_path / "b", "b", fraction=0.1)
    arrays = dict(np.load(a / "predictions.npz"))
    arrays["labels"][:, 1] = 0
    replace_arrays(a, **arrays)
    small, full = (tables(tmp_path / name, by="class")[0] for name in "ba")
    assert title(small) == "AUROC by class: NIHChestXray14, test, 10 % of the training patients"
    assert full.columns == ["macro", *CLASSES]
    mass, edema = (roc_auc_score(arrays["labels"][:, c], arrays["scores"][:, c]) for c in (0, 2))
    macro, *values = (cell(full, "a", name=name).value for name in full.columns)
    assert values == pytest.approx([mass, np.nan, edema], nan_ok=True)
    assert macro == pytest.approx((mass + edema) / 2)  # of the classes that are defined
    assert re.search(r"\| – +\|", table_markdown(full))


def test_a_class_with_few_patients_has_no_interval_nor_has_a_mean_with_it(tmp_path):
    for name in "ab":
        few_patients(write_run(tmp_path / name, name))
    (table,) = tables(tmp_path, by="class", reference="a")
    for name, given in (("Mass", True), ("Edema", True), ("Hernia", False), ("macro", False)):
        found = cell(table, "b", name=name)
        assert np.isfinite([found.value, found.difference]).all()
        ends = [found.low, found.high, found.difference_low, found.difference_high]
        assert np.isfinite(ends).tolist() == [given] * 4
    text = table_markdown(table)
    assert re.search(r"\| \*\*0\.\d+\*\* \[–\] +\| \*?\*?0\.\d+\*?\*? \[0\.\d+, 0\.\d+\] ", text)
    assert "- [–]: no interval, a class has fewer than 10 patients with the finding, or without it." in text


def test_the_best_of_a_protocol_is_marked_with_all_its_ties(tmp_path):
    for name, strength in (("a", 1.5), ("b", 1.5), ("c", 0.2)):
        write_run(tmp_path / name, name, strength, noise=1)
    write_run(tmp_path / "d", "d", 9.0, noise=1, protocol="finetune")
    (table,) = tables(tmp_path)
    assert dict(zip(table.cells["method"], table.cells["best"], strict=True)) == {"a": 1, "b": 1, "c": 0, "d": 0}


@pytest.mark.parametrize("metric", ["dice", "hd95"])
def test_short_distances_and_large_overlaps_are_better(tmp_path, metric):
    write_masks(tmp_path / "good", "good", 0.9)
    write_masks(tmp_path / "bad", "bad", 0.7)
    (table,) = tables(tmp_path, metric=metric, reference="bad")
    good = cell(table, "good")
    assert (good.best, cell(table, "bad").best) == (1, 0)
    assert good.value == pytest.approx(np.load(tmp_path / "good" / "predictions.npz")[metric].mean())
    assert good.low < good.value < good.high
    assert (good.difference < 0) == (metric == "hd95")
    assert ("HD95 (pixel), lower is better; " in table_markdown(table)) == (metric == "hd95")


def test_distances_in_different_units_are_refused(tmp_path):
    write_masks(tmp_path / "a", "a")
    write_masks(tmp_path / "b", "b", hd95_unit="mm")
    with pytest.raises(ValueError, match="HD95 has different units: .*'pixel'.*'mm'"):
        tables(tmp_path, metric="hd95")
    assert len(tables(tmp_path, metric="dice")) == 1


def test_different_tasks_are_different_tables(tmp_path):
    write_run(tmp_path / "nih", "a")
    write_run(tmp_path / "kermany", "a", test=dict(type="PackedCXR", sha256="b" * 64, classes=["x", "y", "z"]))
    write_masks(tmp_path / "lungs", "a")
    assert [table.metric for table in tables(tmp_path)] == ["auroc", "dice", "auroc"]
    assert [table.metric for table in tables(tmp_path, metric="iou")] == ["iou"]
    with pytest.raises(ValueError, match="--metric dice: these runs are of classification"):
        tables(tmp_path / "nih", metric="dice")
    with pytest.raises(ValueError, match="--reference b: no such method; there are a"):
        tables(tmp_path, reference="b")


def test_different_training_images_are_reported_below_the_table(tmp_path):
    a = write_run(tmp_path / "a", "a", train=dict(sha256="c" * 64))
    b = write_run(tmp_path / "b", "b", train=dict(sha256="d" * 64))
    write_run(tmp_path / "c", "c", train=dict(sha256="e" * 64), draw=1)
    write_run(tmp_path / "d", "d")
    (table,) = tables(tmp_path)
    (line,) = [line for line in table_markdown(table).splitlines() if line.startswith("- Warning")]
    assert line.startswith(f"- Warning: {a} and {b} were trained on different images")


def test_names_with_special_characters_stay_whole(tmp_path):
    write_run(tmp_path / "a", "a|b_50%")
    write_run(tmp_path / "b", "plain")
    (table,) = tables(tmp_path)
    assert r"a\|b_50%" in table_markdown(table)
    latex = table_latex(table)
    assert r"a|b\_50\% & \textbf{0." in latex and "**" not in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 2
    assert not re.search(r"(?<!\\)[%_#]", latex)


def test_names_that_look_like_code_are_text(tmp_path):
    classes = ["$a$b$", "<script>alert(1)</script>", r"$\x$"]
    write_run(tmp_path / "a", "=cmd|' /C calc'!A0", test=dict(classes=classes))
    write_run(tmp_path / "b", "<img src=x>\n# $b$", test=dict(classes=classes))
    (table,) = tables(tmp_path, by="class")
    table_picture(table).savefig(tmp_path / "a.png")
    text = table_markdown(table)
    assert r"\<script>" in text
    assert not re.search(r"(?<!\\)<|^# ", text, re.M)
    cells = [value for row in csv.reader(io.StringIO(table_csv([table]))) for value in row]
    assert "'=cmd|' /C calc'!A0" in cells
    assert not [value for value in cells if value.startswith(("=", "@", "+"))]


def test_csv_holds_every_cell_unrounded(tmp_path):
    for draw in range(2):
        write_run(tmp_path / f"a{draw}", "a, b", draw=draw, seed=draw)
        write_run(tmp_path / f"c{draw}", "random init", draw=draw, seed=draw)
    (table,) = tables(tmp_path)
    first, second = csv.DictReader(io.StringIO(table_csv([table])))
    found = cell(table, "a, b")
    assert (first["method"], first["reference"], second["method"]) == ("a, b", "random init", "random init")
    for key in ("value", "sd", "difference_low"):
        assert float(first[key]) == getattr(found, key)
    assert (first["seeds"], first["draws"], first["runs"]) == ("0 1", "0 1", "2")
    assert second["difference"] == second["reference"] == ""


@pytest.mark.parametrize("by", ["class", "fraction"])
def test_a_picture_holds_every_figure_beside_its_column(tmp_path, by):
    for i in range(3):
        few_patients(write_run(tmp_path / f"{i}", f"method {i}", fraction=0.01 if by == "fraction" and i else 1.0))
    (table,) = tables(tmp_path, by=by)
    figure = table_picture(table)
    (axis,) = figure.axes
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [f"method {i}" for i in range(3)]
    names = [text.get_text() for text in axis.get_xticklabels()]
    assert names == (["1 %", "100 %"] if by == "fraction" else ["macro", *CLASSES])
    x, y = (np.concatenate([getattr(c[0], f"get_{d}data")() for c in axis.containers]) for d in "xy")
    np.testing.assert_array_equal(y, table.cells["value"])
    assert np.round(x.astype(float)).astype(int).tolist() == table.cells[by].map(table.columns.index).tolist()
