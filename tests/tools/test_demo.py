import json
import sys

import pytest
import yaml
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
        # what any features of these images hold, and mixed-up images, labels or masks do not
        assert metrics[name]["lung_dice"] > 0.7
        assert name == "supervised" or metrics[name]["per_class"]["Cardiomegaly"] > 0.75
    assert len({metrics[name]["lung_dice"] for name in ("random_init", "otcxr", "vicreg", "supervised")}) == 4
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
        done, steps = [], Steps(tmp_path, {"first": 1, "second": 1})

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


def test_the_time_left_is_that_of_the_steps_to_come_at_the_pace_of_this_machine(tmp_path, capsys):
    from demo_steps import Steps

    steps = Steps(tmp_path, {"first": 20, "second": 60, "third": 80})
    steps.announce("First")
    steps.seconds["first"] = 30.0
    steps.announce("Second")
    steps.seconds["second"] = 10.0
    steps.announce("Third")
    assert capsys.readouterr().out.splitlines() == [
        "[1/3] First",
        "[2/3] Second   (about 4 min left)",  # 210 s
        "[3/3] Third   (about 40 s left)",
    ]


def test_the_pages_have_the_figures_of_the_recorded_runs_and_these_show_what_is_claimed():
    runs = json.loads((ROOT / "docs" / "results" / "demo.json").read_text())
    assert [run["seed"] for run in runs] == [0, 1, 2]
    rows = {"untrained": "random_init", "VICReg": "vicreg", "OTCXR": "otcxr", "trained on the labels": "supervised"}
    table = {title: [run[name]["macro_auroc"] for run in runs] for title, name in rows.items()}
    for run in runs:
        aurocs = [run[name]["macro_auroc"] for name in rows.values()]
        assert aurocs == sorted(aurocs), "OTCXR is above VICReg and below training on labels"
        assert run["otcxr"]["lung_dice"] > run["vicreg"]["lung_dice"] > run["random_init"]["lung_dice"]
        assert run["otcxr"]["lung_dice"] > run["average_mask"]["lung_dice"]
    for page in ("docs/get_started.md", "configs/demo/README.md"):
        text = (ROOT / page).read_text()
        for title, values in table.items():
            assert f"| {title} | " + " | ".join(f"{value:.3f}" for value in values) + " |" in text
    models = yaml.safe_load((ROOT / "configs" / "demo" / "metafile.yml").read_text())["Models"]
    found = {m["Name"]: m["Results"][0]["Metrics"]["AUROC"] for m in models if "Results" in m}
    first = {"linear_r18_synthetic": "otcxr", "supervised_r18_synthetic": "supervised"}
    assert found == {name: round(runs[0][method]["macro_auroc"], 3) for name, method in first.items()}
