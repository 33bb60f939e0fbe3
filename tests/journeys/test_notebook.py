"""The notebook of the documentation, from the first cell to the last, on fewer images."""

import json
import shlex

import pytest

from tests.conftest import ROOT

pytest.importorskip("matplotlib")


def test_the_notebook_runs(otcxr, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.chdir(tmp_path)
    from notebook import run

    text = (ROOT / "docs" / "tutorial.ipynb").read_text()
    assert "PATIENTS, EPOCHS = 400, 5" in text
    kept, notebook = json.loads(text), json.loads(text.replace("PATIENTS, EPOCHS = 400, 5", "PATIENTS, EPOCHS = 60, 3"))

    def shell(command: str) -> None:
        otcxr(*shlex.split(command.partition("|")[0])[1:], cwd=tmp_path, check=True)

    names = run(notebook, shell)
    assert len(names["z"]) == len(names["pixels"]) > 10
    cells = [cell for cell in kept["cells"] if cell["cell_type"] == "code"]
    # what is committed was run in order, and shows nothing of the machine
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    for before, after in zip(cells, (c for c in notebook["cells"] if c["cell_type"] == "code"), strict=True):
        shown = [{*output["data"]} for output in after["outputs"] if "data" in output]
        assert shown == [{*output["data"]} for output in before["outputs"] if "data" in output]
    assert not [folder for folder in ("/tmp/", "/home/", str(ROOT)) if folder in text]
