import json
import sys

import pytest
from mmengine.config import Config

from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _tools(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))


def test_the_demo_from_images_to_its_report(tmp_path, monkeypatch):
    pytest.importorskip("vl_convert", reason="the curves of the report need it")
    import demo

    for variable in ("OTCXR_SYNTHETIC", "TORCH_FORCE_WEIGHTS_ONLY_LOAD"):  # which the demo sets
        monkeypatch.setenv(variable, "1")
    options = ["--patients", "60", "--epochs", "1", "--seed", "5"]
    monkeypatch.setattr(sys, "argv", ["demo.py", "--out", str(tmp_path), *options])
    demo.main()
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["seed"] == 5
    for name in ("random_init", "otcxr", "vicreg", "supervised"):
        assert 0 < metrics[name]["macro_auroc"] < 1
        assert len(metrics[name]["per_class"]) == 8
        assert 0 < metrics[name]["lung_dice"] <= 1
    assert {"pretrain_otcxr", "linear_vicreg", "total"} <= set(metrics["seconds"])
    page = (tmp_path / "report.html").read_text()
    assert len(page) < 3e6
    assert (
        page.count('src="data:image/') == 4 + 4 + 3 + 3
    )  # features and lungs of each, images, two plans; the monitor's
    assert f"{metrics['supervised']['macro_auroc']:.3f} [" in page
    assert f"{metrics['average_mask']['lung_dice']:.3f}" in page
    assert str(tmp_path) not in page


@pytest.fixture
def run(tmp_path):
    """Runs a step and one that uses its result, with a setting each; returns which of them were done now."""
    from demo_steps import Steps

    def run(first=0, second=0):
        done, steps = [], Steps(tmp_path, count=2)

        def do(cfg):
            done.append(cfg.name)
            return {"setting": cfg.setting}

        results = [steps.run("first", "First", Config({"name": "first", "setting": first}), do)]
        results.append(steps.run("second", "Second", Config({"name": "second", "setting": second}), do, "first"))
        assert results == [{"setting": first}, {"setting": second}]
        return done

    return run


def test_finished_steps_are_skipped(run):
    assert run() == ["first", "second"]
    assert run() == []


def test_a_changed_step_starts_over_with_what_uses_it(run, tmp_path):
    run()
    (tmp_path / "first" / "old.pth").touch()
    assert run(second=1) == ["second"]
    assert run(first=1, second=1) == ["first", "second"]
    assert not (tmp_path / "first" / "old.pth").exists()


def test_an_interrupted_step_keeps_its_files(run, tmp_path):
    run()
    (tmp_path / "first" / "result.json").unlink()
    (tmp_path / "first" / "epoch_1.pth").touch()
    assert run() == ["first"]
    assert (tmp_path / "first" / "epoch_1.pth").exists()
