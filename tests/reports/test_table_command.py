import importlib.util
import json

import cv2
import pytest

from tests.conftest import ROOT
from tests.evaluation.records import write_masks, write_run


def command(name):
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / "analysis" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture(scope="module")
def table():
    return command("table")


@pytest.fixture(scope="module")
def compare():
    return command("compare")


def test_tables_are_printed_and_written(table, tmp_path, capsys):
    for fraction in (0.1, 1.0):
        write_run(tmp_path / "runs" / f"a{fraction}", "otcxr", 1.5, fraction=fraction)
        write_run(tmp_path / "runs" / f"b{fraction}", "random init", 0.5, fraction=fraction)
    out = tmp_path / "out"
    assert table([str(tmp_path / "runs"), "--out", str(out), "--name", "otcxr=Ours, guarded"]) == 0
    printed = capsys.readouterr().out
    text = (out / "table.md").read_text()
    assert printed.startswith(text)
    assert "| linear   | Ours, guarded | **" in text
    assert "| protocol | minus random init | 10 % " in text
    assert "over 2000 bootstrap draws of patients" in text
    assert printed.strip().endswith("table.md, table.csv, table.tex, table.png")
    assert cv2.imread(str(out / "table.png")).std() > 5
    assert sorted(path.name for path in out.iterdir()) == ["table.csv", "table.md", "table.png", "table.tex"]


def test_two_tasks_have_a_picture_each(table, tmp_path, capsys):
    write_run(tmp_path / "a" / "nih")
    write_masks(tmp_path / "a" / "lungs")
    assert table([str(tmp_path / "a"), "--out", str(tmp_path / "out"), "--by", "class"]) == 0
    assert capsys.readouterr().out.count("## ") == 2
    assert {"table_1.png", "table_2.png"} < {path.name for path in (tmp_path / "out").iterdir()}


def test_refusals_end_with_status_2(table, tmp_path, capsys):
    a = write_run(tmp_path / "a", "a")
    b = write_run(tmp_path / "b", "b", test=dict(sha256="b" * 64))
    assert table([str(a), str(b)]) == 2
    assert f"error: {a} and {b} were tested on different images" in capsys.readouterr().err
    assert table([str(a), str(b), "--by-test-set"]) == 0
    assert capsys.readouterr().out.count("## AUROC") == 2
    assert table([str(tmp_path / "none")]) == 2
    assert "no results.json (no such folder). The test writes it: otcxr test" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        table([str(a), "--name", "label"])
    assert "--name: expected RUN_METHOD_OR_TYPE=LABEL" in capsys.readouterr().err


def test_two_runs_are_compared(compare, tmp_path, capsys):
    a, b = write_run(tmp_path / "a", "a", 2.0), write_run(tmp_path / "b", "b", 0.2)
    assert compare([str(a), str(b), "--out", str(tmp_path / "pair.json")]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"A: {a}: a, linear, 100 %\nB: {b}: b, linear, 100 %\nNIHChestXray14, test: 120 images")
    assert "| AUROC  | macro  | 0." in out
    rows = json.loads((tmp_path / "pair.json").read_text())
    assert rows[0]["low"] > 0
    assert compare([str(tmp_path), str(b)]) == 2
    assert f"{tmp_path} holds 2 runs, such as {a}: name one of them" in capsys.readouterr().err
    assert compare([str(a), str(write_masks(tmp_path / "m"))]) == 2
    assert "task differ" in capsys.readouterr().err


def test_help_needs_nothing_heavy(python):
    script = "import sys; sys.argv[1:] = ['--help']\nimport runpy\ntry: runpy.run_path({!r}, run_name='__main__')\n"
    script += "except SystemExit: pass\nassert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    for name in ("table", "compare"):
        out = python("-c", script.format(str(ROOT / "tools" / "analysis" / f"{name}.py"))).stdout
        assert "intervals over patients" in " ".join(out.split())
