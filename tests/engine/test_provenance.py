"""What a run was: in manifest.json and in its checkpoints; and what a resumed run has changed."""

import hashlib
import json
import logging
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from otcxr_mm import CSVLabeledCXR
from otcxr_mm.datasets.inspection import data_sha256
from otcxr_mm.engine.provenance import backbone_source, describe, file_record, git_commit, method_of
from otcxr_mm.utils.checkpoints import trained_config
from tests.conftest import ROOT
from tests.engine.runs import PATIENT, runner


def train(folder, name, caplog=None, **changes):
    run = runner(folder, "finetune", name, caplog=caplog, **{"train_cfg.max_iters": 2, **changes})
    run.train()
    return run


def manifest(folder):
    return json.loads((folder / "work" / "manifest.json").read_text())


def meta(folder, name="iter_2.pth"):
    return torch.load(folder / "work" / name, weights_only=True)["meta"]["provenance"]


def test_the_manifest_names_no_patient_and_a_checkpoint_no_path(tmp_path):
    run = train(tmp_path, "a")
    found, train_set = manifest(tmp_path), run.train_dataloader.dataset
    assert found["train"] == {
        **{"type": "CSVLabeledCXR", "split": "train", "images": 48, "patients": 24},
        "sha256": data_sha256(train_set),
    }
    assert found["test"]["images"] == 16  # built to look for leaks alone
    assert run._test_loop.__class__.__name__ == "ConfigDict"
    assert found["config_sha256"] == hashlib.sha256(found["config_text"].encode()).hexdigest()
    assert Config.fromstring(found["config_text"], ".py").train_cfg.max_iters == 2
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (found["seed"], found["batch_size"], found["world_size"]) == (run.seed, 16, 1)
    assert found["command"] == sys.argv
    text = (tmp_path / "work" / "manifest.json").read_text()
    assert PATIENT not in text
    assert (tmp_path / "work" / run.timestamp / "manifest.json").read_text() == text
    # a checkpoint holds the part without paths
    part = meta(tmp_path)
    assert str(tmp_path) in text
    assert str(tmp_path) not in json.dumps(part)
    assert part["train"] == {key: found["train"][key] for key in ("images", "patients", "sha256")}
    same = ("config_sha256", "seed", "fraction", "draw", "method", "protocol", "backbone", "versions", "git", "time")
    assert {key: part[key] for key in same} == {key: found[key] for key in same}


def test_the_tables_are_read_once_each(tmp_path, monkeypatch):
    read, load = [], CSVLabeledCXR.load_records
    monkeypatch.setattr(CSVLabeledCXR, "load_records", lambda self: (read.append(self.split), load(self))[1])
    train(tmp_path, "a")
    assert sorted(read) == ["test", "train", "val"]


def test_a_resumed_run_names_what_has_changed(tmp_path, caplog):
    train(tmp_path, "a")
    saved = torch.load(tmp_path / "work" / "iter_2.pth", weights_only=True)
    saved["meta"]["provenance"]["versions"]["torch"] = "1.0"
    torch.save(saved, tmp_path / "work" / "iter_2.pth")
    other = {"load_from": f"{tmp_path}/work/iter_2.pth", "train_dataloader.batch_size": 8}
    with pytest.raises(ValueError, match="with other settings: batch_size: 16 before, 8 now.*and resume=False"):
        train(tmp_path, "another epoch", resume=True, **other)
    table = tmp_path / "t.csv"  # as many images, other patients
    table.write_text(table.read_text().replace(f"{PATIENT}4,", f"{PATIENT}3,"))
    changes = {"train_cfg.max_iters": 4, "optim_wrapper.optimizer.lr": 0.0123}
    train(tmp_path, "b", caplog, resume=True, load_from=f"{tmp_path}/work/iter_2.pth", **changes)
    lines = manifest(tmp_path)["resumed"]["changed"]
    assert [line.partition(":")[0] for line in lines] == [
        *("train.patients", "train.sha256", "versions.torch", "optim_wrapper.optimizer.lr", "train_cfg.max_iters"),
    ]
    assert (lines[0], lines[-1]) == ("train.patients: 24 before, 23 now", "train_cfg.max_iters: 2 before, 4 now")
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line for line in warned if line.startswith("resumed with")] == [
        f"resumed with a different {line}" for line in lines
    ]
    assert manifest(tmp_path)["resumed"]["iteration"] == 2
    assert "resumed" not in meta(tmp_path, "iter_4.pth")  # its lines may name folders


def test_a_resumed_run_has_started_from_the_weights_of_the_first(tmp_path):
    run = runner(tmp_path, "finetune", load_from="a/b.pth")
    del run.cfg.default_hooks["load_backbone"]
    assert describe(run)["backbone"] == {"file": "a/b.pth", "sha256": None}
    first = {"file": "c/d.pth", "sha256": "e"}
    assert describe(run, resumed={"backbone": first})["backbone"] == first


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_the_state_of_the_code(monkeypatch):
    head = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    assert git_commit() in (head, f"{head}-dirty")
    monkeypatch.setenv("PATH", "")
    assert git_commit() is None


HOOK = dict(type="otcxr_mm.LoadBackboneHook", checkpoint="a/b/backbone.pth")


@pytest.mark.parametrize(
    ("cfg", "source", "method"),
    [
        ({}, None, "random init"),
        (dict(default_hooks=dict(x=None, y=HOOK), load_from="c/d.pth"), "a/b/backbone.pth", "b"),
        (dict(custom_hooks=[dict(type="X"), {**HOOK, "checkpoint": "c.pth"}]), "c.pth", "c"),
        (dict(model=dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint="x://r50")))), "x://r50", "r50"),
        (dict(load_from="a/b.pth"), "a/b.pth", "a"),
        (dict(load_from="a/b.pth", resume=True), None, "random init"),
        (dict(load_from="~/b.pth"), "~/b.pth", "b"),  # the name of a home folder is private
    ],
)
def test_what_a_run_started_from(cfg, source, method):
    assert backbone_source(cfg) == source
    assert method_of(file_record(source, with_folder=True) if source else None) == method


def test_a_config_in_a_checkpoint_is_read_without_running_it():
    data = dict(type="A", fraction=0.1, shares=(("a", 0.5), ("b", -1)))
    cfg = dict(loader=dict(dataset=data), hooks=[dict(type="B", on=None), 3], names={"a-b": 1}, low=float("-inf"))
    assert trained_config({"meta": {"cfg": Config(cfg).pretty_text}}) == cfg
    assert trained_config({"meta": {"cfg": "a = 1\nb = __import__('os').getcwd()\n"}}) is None
    assert trained_config({"state_dict": {}}) is None
