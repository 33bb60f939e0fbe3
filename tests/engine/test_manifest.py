"""manifest.json: what a run was, and what a run that goes on has changed."""

import hashlib
import json
import logging
import subprocess
import sys
import time

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from otcxr_mm.datasets.inspection import data_sha256
from otcxr_mm.engine.hooks import manifest as module
from otcxr_mm.engine.hooks.manifest import describe_data, differences, explain, git_state, read_manifest
from tests.conftest import ROOT, write_image

PATIENT = "PATIENT-SECRET-77"


@pytest.fixture
def cfg(tmp_path):
    """Ten images in train, of five patients, with two labels; six in val and test each."""
    rng = np.random.default_rng(0)
    rows = ["filename,patient,split,a,b"]
    for i in range(22):
        split = "train" if i < 10 else "val" if i < 16 else "test"
        write_image(tmp_path / "images" / f"{i}.png", (32, 32), value=int(rng.integers(60, 200)))
        rows.append(f"{i}.png,{PATIENT}{i // 2},{split},{i % 2},{int(i % 3 == 0) if i % 5 else -1}")
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    base = Config.fromfile(ROOT / "configs" / "downstream" / "finetune" / "finetune_r18_kermany.py")
    base.model.backbone.update(base_channels=8, stem_channels=8)
    base.model.head.update(in_channels=64, num_classes=2)
    base.default_hooks.load_backbone.checkpoint = None
    for part in ("train", "val", "test"):
        loader = base[f"{part}_dataloader"]
        loader.update(batch_size=5, num_workers=0)
        loader.dataset = dict(
            type="otcxr_mm.CSVLabeledCXR",
            data_root=str(tmp_path),
            ann_file="t.csv",
            img_prefix="images",
            label_columns=["a", "b"],
            split=part,
            pipeline=[dict(type="otcxr_mm.LoadCXR"), dict(type="otcxr_mm.PackCXR")],
        )
    base.train_cfg.update(max_iters=4, val_interval=100)
    base.param_scheduler = [dict(type="ConstantLR", factor=1.0, by_epoch=False)]
    base.default_hooks.checkpoint.interval = 2
    base.work_dir, base.experiment_name = str(tmp_path / "work"), tmp_path.name
    return base


def run(cfg, name, caplog=None, **changes):
    cfg = cfg.copy()
    cfg.merge_from_dict(changes)
    cfg.experiment_name += name
    runner = Runner.from_cfg(cfg)
    if caplog is not None:
        runner.logger.addHandler(caplog.handler)
    runner.train()
    return runner


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_it_says_what_was_trained_and_names_no_patient(cfg, tmp_path):
    runner = run(cfg, "a")
    text = (tmp_path / "work" / "manifest.json").read_text()
    found = json.loads(text)
    train = found["data"]["train"]
    assert (train["images"], train["patients"], train["split"]) == (10, 5, "train")
    assert train["positives"] == {"a": 5, "b": 3}  # 3, 6, 9; 0 is not known
    assert train["known"] == {"a": 10, "b": 8}
    assert train["sha256"] == data_sha256(runner.train_dataloader.dataset)
    # the test set was built to look for leaks alone
    assert found["data"]["test"]["images"] == 6
    assert runner._test_loop.__class__.__name__ == "ConfigDict"
    assert found["config"]["sha256"] == hashlib.sha256(found["config"]["text"].encode()).hexdigest()
    assert Config.fromstring(found["config"]["text"], ".py").train_cfg.max_iters == 4
    assert found["versions"]["torch"]
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (found["seed"], found["batch_size"], found["world_size"]) == (runner.seed, 5, 1)
    assert found["command"] == sys.argv
    assert len(found["starts"]) == 1
    assert found["starts"][0]["iteration"] == 0
    assert PATIENT not in text
    assert (tmp_path / "work" / runner.timestamp / "manifest.json").read_text() == text


def test_the_tables_are_read_once_each(cfg, monkeypatch):
    from otcxr_mm import CSVLabeledCXR

    read, load = [], CSVLabeledCXR.load_records
    monkeypatch.setattr(CSVLabeledCXR, "load_records", lambda self: (read.append(self.split), load(self))[1])
    run(cfg, "a")
    assert sorted(read) == ["test", "train", "val"]


def test_a_resumed_run_adds_its_start_and_names_what_has_changed(cfg, tmp_path, caplog):
    run(cfg, "a", **{"train_cfg.max_iters": 2})
    file = tmp_path / "work" / "manifest.json"
    first = json.loads(file.read_text())
    go_on = {"resume": True, "load_from": str(tmp_path / "work" / "iter_2.pth")}
    run(cfg, "b", caplog, **go_on)
    (line,) = [line for line in warnings(caplog) if "resumed with different" in line]
    assert "different config: max_iters=2 before" in line
    second = json.loads(file.read_text())
    assert {key: second[key] for key in first if key != "starts"} == {k: v for k, v in first.items() if k != "starts"}
    assert [start["iteration"] for start in second["starts"]] == [0, 2]
    assert first["config"]["sha256"] != second["starts"][1]["config_sha256"]
    assert list(second["starts"][1]["changed"]) == ["config"]
    # as many images, other patients; another torch
    table = tmp_path / "t.csv"
    table.write_text(table.read_text().replace(f"{PATIENT}4,", f"{PATIENT}3,"))
    second["versions"]["torch"] = "1.0"
    file.write_text(json.dumps(second))
    run(cfg, "c", caplog, **go_on, **{"optim_wrapper.optimizer.lr": 0.0123})
    text = "\n".join(warnings(caplog))
    assert "resumed with different data (train): 10 images of 5 patients before, 10 images of 4 patients now" in text
    assert "resumed with different torch: 1.0 before, " in text
    assert "data (val)" not in text
    third = json.loads(file.read_text())
    assert set(third["starts"][2]["changed"]) == {"config", "data.train", "versions.torch"}
    # the settings of this start, and not those in the checkpoint
    assert any("lr=0.0123" in line for line in third["starts"][2]["changed"]["config"][1])
    assert PATIENT not in file.read_text()


def test_a_new_run_in_the_same_folder_replaces_it_and_the_old_one_stays_beside_its_log(cfg, tmp_path):
    old = run(cfg, "a", **{"train_cfg.max_iters": 2})
    before = json.loads((tmp_path / "work" / "manifest.json").read_text())
    time.sleep(1.1)  # MMEngine names folders by the second
    run(cfg, "b", **{"train_cfg.max_iters": 2, "randomness.seed": 5})
    now = json.loads((tmp_path / "work" / "manifest.json").read_text())
    assert (before["seed"], now["seed"]) == (0, 5)
    assert len(now["starts"]) == 1
    assert json.loads((tmp_path / "work" / old.timestamp / "manifest.json").read_text()) == before


def test_a_test_is_added_and_leaves_the_record_of_the_training(cfg, tmp_path):
    run(cfg, "a", **{"train_cfg.max_iters": 2})
    before = json.loads((tmp_path / "work" / "manifest.json").read_text())
    cfg.load_from, cfg.experiment_name = str(tmp_path / "work" / "iter_2.pth"), "test" + cfg.experiment_name
    Runner.from_cfg(cfg).test()
    after = json.loads((tmp_path / "work" / "manifest.json").read_text())
    assert [start["kind"] for start in after["starts"]] == ["train", "test"]
    assert after["starts"][1]["checkpoint"] == "iter_2.pth"
    assert after["config"] == before["config"]


@pytest.mark.parametrize("text", ["{ broken", '{"data": 3}', "\xff"])
def test_a_broken_one_is_a_warning(cfg, tmp_path, caplog, text):
    run(cfg, "a", **{"train_cfg.max_iters": 2})
    file = tmp_path / "work" / "manifest.json"
    file.write_text(text, encoding="latin-1")
    go_on = {"resume": True, "load_from": str(tmp_path / "work" / "iter_2.pth"), "train_cfg.max_iters": 3}
    run(cfg, f"b{len(text)}", caplog, **go_on)
    assert f"{file} cannot be read and will be replaced" in caplog.text
    assert json.loads(file.read_text())["starts"][0]["iteration"] == 2


def test_differences_between_manifests():
    data = {"images": 3, "patients": None, "sha256": "a", "positives": {"x": 1}}
    old = {
        "seed": 1,
        "batch_size": 4,
        "world_size": 2,
        "versions": {"torch": "2", "gone": "1"},
        "data": {"train": data},
    }
    assert differences(old, json.loads(json.dumps(old))) == {}
    new = {**old, "seed": 2, "batch_size": 8, "world_size": 1, "versions": {"torch": "3", "new": "1"}}
    new["data"] = {"train": {**data, "positives": {"x": 2}}, "val": data}
    changed = differences(old, new)
    assert list(changed) == ["data.train", "batch_size", "world_size", "seed", "versions.torch"]
    assert explain(changed) == [
        "data (train): 3 images of unknown patients before, 3 images of unknown patients now, with other labels",
        "batch size: 4 before, 8 now",
        "world size: 2 before, 1 now",
        "seed: 1 before, 2 now",
        "torch: 2 before, 3 now",
    ]
    assert differences({}, new) == {}


def test_concatenated_sets_are_counted_together(cfg):
    from mmengine.dataset import ConcatDataset
    from mmengine.registry import DATASETS, DefaultScope

    with DefaultScope.overwrite_default_scope("mmpretrain"):
        train, val = (DATASETS.build(cfg[f"{part}_dataloader"].dataset) for part in ("train", "val"))
    found = describe_data(ConcatDataset([train, val]))
    assert (found["images"], found["patients"], found["split"]) == (16, 8, "train+val")
    assert found["positives"] == {"a": 8, "b": 4}
    assert describe_data([1, 2]) == {
        **{"type": "list", "split": "", "images": 2, "patients": None, "sha256": None},
        **{"positives": {}, "known": {}},
    }


def test_the_state_of_the_code(tmp_path, monkeypatch):
    assert git_state(tmp_path) is None
    assert git_state(None) is None

    def git(*command):
        own = ["-c", "user.name=x", "-c", "user.email=x@y"]
        subprocess.run(["git", "-C", str(tmp_path), *own, *command], check=True, capture_output=True)

    git("init")
    (tmp_path / "a.py").write_text("1")
    git("add", "a.py")
    git("commit", "-m", "x")
    (tmp_path / "untracked").write_text("1")
    state = git_state(tmp_path)
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "a.py").write_text("2")
    assert git_state(tmp_path) == {"commit": state["commit"], "dirty": True}
    # installed inside somebody's checkout it has no state of its own
    monkeypatch.setattr(module, "__file__", str(tmp_path / "otcxr_mm" / "engine" / "hooks" / "manifest.py"))
    (tmp_path / "otcxr_mm").mkdir()
    (tmp_path / "otcxr_mm" / "version.py").write_text("")
    assert module._own_git_state() is None
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) is None


def test_no_manifest_is_no_warning(tmp_path, caplog):
    assert read_manifest(tmp_path) is None
    assert not caplog.text
