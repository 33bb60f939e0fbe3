import json

import cv2
import pytest

from otcxr_mm.cli.compare import main as compare
from otcxr_mm.cli.table import main as table
from tests.evaluation.records import few_patients, write_masks, write_run


def test_tables_are_printed_and_written(tmp_path, capsys):
    for fraction in (0.1, 1.0):
        write_run(tmp_path / "runs" / f"a{fraction}", "otcxr", 1.5, fraction=fraction)
        write_run(tmp_path / "runs" / f"b{fraction}", "random init", 0.5, fraction=fraction)
    write_masks(tmp_path / "runs" / "lungs")
    out = tmp_path / "out"
    table([str(tmp_path / "runs"), "--out", str(out), "--name", "otcxr=Ours, guarded"])
    printed = capsys.readouterr().out
    text = (out / "table.md").read_text()
    assert printed.startswith(text)
    assert "| linear   | Ours, guarded | **" in text
    assert "| protocol | minus random init | 10 % " in text
    assert "over 2000 bootstrap draws of patients" in text
    files = ["table.csv", "table.md", "table.tex", "table_1.png", "table_2.png"]
    assert sorted(path.name for path in out.iterdir()) == files
    assert cv2.imread(str(out / "table_1.png")).std() > 5


def test_refusals_name_the_argument(tmp_path, capsys):
    a = write_run(tmp_path / "a", "a")
    b = write_run(tmp_path / "b", "b", test=dict(sha256="b" * 64))
    with pytest.raises(SystemExit, match="error: --reference c: no such method; there are a, b"):
        table([str(a), str(b), "--reference", "c"])
    table([str(a), str(b)])
    assert capsys.readouterr().out.count("## AUROC") == 2
    with pytest.raises(SystemExit):
        table([str(a), "--name", "label"])
    assert "--name: expected RUN_METHOD_OR_TYPE=LABEL" in capsys.readouterr().err


def test_two_runs_are_compared(tmp_path, capsys):
    a, b = (few_patients(write_run(tmp_path / name, name, strength)) for name, strength in (("a", 2.0), ("b", 0.2)))
    compare([str(a), str(b), "--out", str(tmp_path / "pair.json")])
    out = capsys.readouterr().out
    assert out.startswith(f"A: {a}: a, linear, 100 %\nB: {b}: b, linear, 100 %\nNIHChestXray14, test: 120 images")
    rows = {row["class"]: row for row in json.loads((tmp_path / "pair.json").read_text()) if row["metric"] == "auroc"}
    mass, hernia = rows["Mass"], rows["Hernia"]
    assert f"| {mass['difference']:+.3f} [{mass['low']:+.3f}, {mass['high']:+.3f}] | {mass['p']:.2g} " in out
    assert f"| {hernia['difference']:+.3f} [–] " in out


def test_a_comparison_takes_two_runs_of_one_task(tmp_path):
    a, b = write_run(tmp_path / "a", "a"), write_masks(tmp_path / "b")
    with pytest.raises(SystemExit, match=f"expected two runs, found {a}"):
        compare([str(tmp_path / "a"), str(a)])
    with pytest.raises(SystemExit, match=r"were not tested on the same: \('classification'"):
        compare([str(a), str(b)])
