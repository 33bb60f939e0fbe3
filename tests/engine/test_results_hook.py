import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS
from mmengine.runner import Runner

from otcxr_mm import MultiLabelAUC, ResultsHook
from otcxr_mm.datasets.inspection import data_sha256
from otcxr_mm.engine.hooks import results as module
from otcxr_mm.reports import build_tables, load_runs, tasks
from otcxr_mm.utils.checkpoints import trained_config
from otcxr_mm.utils.configs import backbone_source, leaf_specs
from tests.engine.test_linear import config


@METRICS.register_module(name="DetailedAUC", force=True)
class DetailedAUC(MultiLabelAUC):
    """Keeps what it computes with, as the contract of the hook says."""

    def compute_metrics(self, results):
        scores, labels = (np.stack([row[i] for row in results]) for i in (0, 1))
        self.details = {"undefined": float("nan"), "per_class": [np.float32(0.5), np.inf], "count": np.int64(3)}
        n = len(labels)
        self.arrays = dict(sample_idx=np.arange(n), patient=np.arange(n), scores=scores, labels=labels)
        metrics = {"auroc": 0.75, "undefined": float("nan")}
        return {**metrics, "classes": 2}

    def process(self, data_batch, data_samples):
        for sample in data_samples:
            self.results.append((sample["pred_score"].numpy(), sample["gt_score"].numpy()))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OTCXR_SYNTHETIC", "")  # given back afterwards
    return tmp_path


def settings(folder, **changes):
    cfg = config(folder, **changes)
    cfg.test_evaluator = dict(type="DetailedAUC")
    cfg.custom_hooks = [dict(type="otcxr_mm.ResultsHook"), *(cfg.get("custom_hooks") or [])]
    return cfg


def read(folder):
    return json.loads((folder / "work" / "results.json").read_text())


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_record_of_a_run(folder):
    backbone = folder / "some_method" / "backbone.pth"
    cfg = settings(folder, protocol="linear", experiment_name="first")
    cfg.train_dataloader.dataset.update(fraction=0.5, draw=2)
    cfg.randomness = dict(seed=11)
    from otcxr_mm import save_backbone

    runner = Runner.from_cfg(cfg)
    save_backbone(runner.model, backbone, cfg)
    cfg.default_hooks.load_backbone.checkpoint = str(backbone)
    cfg.experiment_name = "second"
    runner = Runner.from_cfg(cfg)
    runner.train()
    trained_on = runner.train_dataloader.dataset

    # the test is run without those options
    cfg = settings(folder, load_from=str(folder / "work" / "linear.pth"), experiment_name="third", protocol="linear")
    runner = Runner.from_cfg(cfg)
    metrics = runner.test()
    record = read(folder)
    assert record["version"] == 1
    assert record["task"] == "classification"
    assert record["method"] == "some_method"
    assert record["protocol"] == "linear"
    assert record["config"] == "linear_r18_synthetic"
    assert (record["seed"], record["fraction"], record["draw"]) == (11, 0.5, 2)
    assert record["checkpoint"] == {"file": "linear.pth", "sha256": sha256(folder / "work" / "linear.pth")}
    assert record["backbone"] == {"file": "some_method/backbone.pth", "sha256": sha256(backbone)}
    assert record["train"] == {
        "images": len(trained_on),
        "patients": len(set(trained_on.records.patient.tolist())),
        "sha256": data_sha256(trained_on),
    }
    dataset = runner.test_dataloader.dataset
    assert record["test"]["type"] == "SyntheticCXR"
    assert record["test"]["split"] == "test"
    assert record["test"]["images"] == len(dataset)
    assert record["test"]["patients"] == len(set(dataset.records.patient.tolist()))
    assert record["test"]["classes"] == list(dataset.metainfo["classes"])
    assert metrics["multilabel/auroc"] == 0.75
    assert record["metrics"] == {
        "multilabel/auroc": 0.75,
        "multilabel/undefined": None,
        "multilabel/classes": 2,
    }
    assert record["details"] == {"undefined": None, "per_class": [0.5, None], "count": 3}
    assert set(record["versions"]) == {"otcxr_mm", "mmpretrain", "mmengine", "torch"}
    text = (folder / "work" / "results.json").read_text()
    assert str(folder) not in text
    with np.load(folder / "work" / "predictions.npz") as arrays:
        assert arrays["scores"].shape == (len(dataset), len(record["test"]["classes"]))

    (run,) = load_runs([folder])
    (table,) = build_tables(tasks([run]), draws=20)
    assert table.rows == [("linear", "some_method")]

    # another checkpoint in the same work dir
    other = folder / "other.pth"
    state = torch.load(folder / "work" / "linear.pth", weights_only=False)
    state["state_dict"]["head.fc.bias"] += 1
    torch.save(state, other)
    cfg = settings(folder, load_from=str(other), experiment_name="fourth", method="mine")
    cfg.test_evaluator = dict(type="otcxr_mm.MultiLabelAUC")
    runner = Runner.from_cfg(cfg)
    runner.test_evaluator.metrics[0].details = None if not hasattr(MultiLabelAUC, "details") else {}
    runner.test()
    record = read(folder)
    assert record["checkpoint"] == {"file": "other.pth", "sha256": sha256(other)}
    assert record["method"] == "mine"
    assert 0 < record["metrics"]["multilabel/auroc"] < 1
    assert not list((folder / "work").glob("*.tmp.*"))


def test_trained_and_tested_in_one_process(folder):
    cfg = settings(folder, experiment_name="one", randomness=dict(seed=4))
    runner = Runner.from_cfg(cfg)
    runner.train()
    runner.test()
    record = read(folder)
    assert record["checkpoint"] is None
    assert (record["method"], record["backbone"]) == ("random init", None)
    assert (record["seed"], record["fraction"], record["protocol"]) == (4, 1.0, "linear")
    assert record["train"]["sha256"] is not None


def test_a_training_set_that_is_gone_costs_its_counts_alone(folder):
    cfg = settings(folder, experiment_name="gone")
    cfg.train_dataloader.dataset.split = "nowhere"
    cfg.default_hooks.pop("leak_audit")  # would say so first
    lines = []
    runner = Runner.from_cfg(cfg)
    runner.logger.warning = lines.append
    runner.test()
    assert read(folder)["train"] == {"images": None, "patients": None, "sha256": None}
    assert [line for line in lines if "cannot count the training set: ValueError" in line]


def test_a_metric_without_details_still_gets_a_record(tmp_path, monkeypatch):
    """And nothing of an earlier test is left beside it."""
    (tmp_path / "predictions.npz").write_bytes(b"old")
    hook, lines = ResultsHook(), []
    monkeypatch.setattr(hook, "_run", lambda runner: {"method": "a"})
    dataset = SimpleNamespace(metainfo={"classes": ("background", "lung")})
    dataset = type("OtherSegDataset", (), {"metainfo": dataset.metainfo, "__len__": lambda self: 7})()
    runner = SimpleNamespace(
        test_evaluator=SimpleNamespace(metrics=[object()]),
        test_dataloader=SimpleNamespace(dataset=dataset),
        model=SimpleNamespace(decode_head=None),
        work_dir=str(tmp_path),
        logger=SimpleNamespace(info=lines.append),
    )
    hook.after_test_epoch(runner, {"mIoU": 0.5, "table": "text"})
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["task"] == "segmentation"
    assert record["metrics"] == {"mIoU": 0.5}
    assert record["details"] == {}
    assert record["test"] == {
        "type": "OtherSegDataset",
        "split": "",
        "images": 7,
        "patients": None,
        "sha256": None,
        "classes": ["background", "lung"],
    }
    assert not (tmp_path / "predictions.npz").exists()


def test_a_metric_of_masks_says_its_classes():
    dataset = type("Masks", (), {"metainfo": {"classes": ("pneumonia",)}, "__len__": lambda self: 2})()
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
    details = {"classes": [{"name": "left"}, {"name": "right"}]}
    assert module._test_set(runner, object(), details)["classes"] == ["left", "right"]


def test_a_failed_write_leaves_no_record_of_another_test(tmp_path, monkeypatch):
    ResultsHook._write(tmp_path, {"a": 1}, {"x": np.zeros(2)})

    def full(path, data):
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "write_whole", full)
    with pytest.raises(OSError, match="no space"):
        ResultsHook._write(tmp_path, {"a": 2}, {"x": np.ones(2)})
    assert not list(tmp_path.iterdir())


def test_other_processes_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("mmengine.dist.utils.get_dist_info", lambda group=None: (1, 2))
    monkeypatch.setattr("mmengine.dist.utils.is_main_process", lambda group=None: False)
    ResultsHook().after_test_epoch(SimpleNamespace(work_dir=str(tmp_path)), {})
    assert not list(tmp_path.iterdir())


def test_a_config_in_a_checkpoint_is_read_without_running_it():
    from mmengine.config import Config

    cfg = dict(
        train_dataloader=dict(dataset=dict(type="A", fraction=0.1, shares=(("a", 0.5), ("b", -1)))),
        hooks=[dict(type="B", on=None), 3],
        names={"a-b": dict(c=1)},
        low=float("-inf"),
    )
    text = Config(cfg).pretty_text
    assert trained_config({"meta": {"cfg": text}}) == cfg
    assert trained_config({"meta": {"cfg": "a = 1\nb = __import__('os').getcwd()\n"}}) is None
    assert trained_config({"meta": {"cfg": "import os"}}) is None
    assert trained_config({"state_dict": {}}) is None


@pytest.mark.parametrize(
    ("cfg", "with_load_from", "source", "method"),
    [
        ({}, True, None, "random init"),
        (
            dict(default_hooks=dict(x=None, y=dict(type="LoadBackboneHook", checkpoint="a/b/backbone.pth"))),
            0,
            None,
            "b",
        ),
        (dict(custom_hooks=[dict(type="X"), dict(type="otcxr_mm.LoadBackboneHook", checkpoint="c.pth")]), 0, None, "c"),
        (dict(model=dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint="x://r50")))), False, None, "r50"),
        (dict(load_from="a/b.pth"), True, None, "a"),
        (dict(load_from="a/b.pth"), False, None, "random init"),
        (dict(load_from="a/b.pth", resume=True), True, None, "random init"),
    ],
)
def test_what_a_run_started_from(cfg, with_load_from, source, method):
    assert module._method(backbone_source(cfg, with_load_from)) == method


def test_data_sets_inside_others():
    a, b = dict(type="A"), dict(type="B", fraction=0.5)
    concatenated = dict(type="ConcatDataset", datasets=[a, dict(type="RepeatDataset", times=2, dataset=b)])
    assert list(leaf_specs(concatenated)) == [a, b]
