"""results.json, results.csv and predictions.npz: what was trained, what was tested, and the metrics."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import METRICS
from mmengine.runner import Runner

from otcxr_mm import MultiLabelAUC, ResultsHook, save_backbone
from otcxr_mm.datasets.inspection import data_sha256
from otcxr_mm.engine.hooks import results as module
from otcxr_mm.engine.provenance import file_record
from otcxr_mm.reports import build_tables, load_runs, tasks
from otcxr_mm.utils.checkpoints import trained_config
from tests.engine.runs import PATIENT, config, runner


@METRICS.register_module(name="DetailedAUC", force=True)
class DetailedAUC(MultiLabelAUC):
    """Keeps what it computes with, as the contract of the hook says."""

    def compute_metrics(self, results):
        scores, labels = (np.stack([row[i] for row in results]) for i in (0, 1))
        self.details = {"undefined": float("nan"), "per_class": [np.float32(0.5), np.inf], "count": np.int64(3)}
        n = len(labels)
        self.arrays = dict(sample_idx=np.arange(n), patient=np.arange(n), scores=scores, labels=labels)
        return {"auroc": 0.75, "undefined": float("nan"), "classes": 2}

    def process(self, data_batch, data_samples):
        for sample in data_samples:
            self.results.append((sample["pred_score"].numpy(), sample["gt_score"].numpy()))


def detailed(folder, name, **changes):
    cfg = config(folder, name=name, **changes)
    cfg.test_evaluator = dict(type="DetailedAUC")
    return Runner.from_cfg(cfg)


def read(folder):
    return json.loads((folder / "work" / "results.json").read_text())


@pytest.fixture
def trained(tmp_path):
    """A linear evaluation of a backbone, on half of the patients; gives its training set."""
    backbone = tmp_path / "some_method" / "backbone.pth"
    save_backbone(runner(tmp_path, name="pretrain").model, backbone, config(tmp_path))
    half = {"train_dataloader.dataset.fraction": 0.5, "train_dataloader.dataset.draw": 2}
    run = runner(
        tmp_path, randomness=dict(seed=11), **{"default_hooks.load_backbone.checkpoint": str(backbone)}, **half
    )
    run.train()
    return run.train_dataloader.dataset


def test_the_record_says_what_the_checkpoint_was_trained_on(tmp_path, trained):
    # with the config of the test, which says otherwise
    detailed(tmp_path, "test", load_from=f"{tmp_path}/work/linear.pth").test()
    record = read(tmp_path)
    assert (record["method"], record["protocol"], record["config"]) == (
        *("some_method", "linear", "linear_r18_kermany"),
    )
    assert (record["seed"], record["fraction"], record["draw"]) == (11, 0.5, 2)
    assert record["train"] == {"images": len(trained), "patients": 12, "sha256": data_sha256(trained)}
    assert record["checkpoint"] == file_record(f"{tmp_path}/work/linear.pth")
    backbone = file_record(f"{tmp_path}/some_method/backbone.pth")
    assert record["backbone"] == {**backbone, "file": "some_method/backbone.pth"}
    (run,) = load_runs([tmp_path])
    (table,) = build_tables(tasks([run]), draws=20)
    assert table.cells["method"].tolist() == ["some_method"]


def test_the_record_says_what_was_tested(tmp_path, trained):
    run = detailed(tmp_path, "test", load_from=f"{tmp_path}/work/linear.pth", method="mine")
    metrics, dataset = run.test(), run.test_dataloader.dataset
    record = read(tmp_path)
    expected = {"type": "CSVLabeledCXR", "split": "test", "images": 16, "patients": 8, "sha256": data_sha256(dataset)}
    assert {key: record["test"][key] for key in expected} == expected
    assert record["test"]["classes"] == list(dataset.metainfo["classes"])
    assert (record["version"], record["task"], record["method"]) == (1, "classification", "mine")
    assert metrics["multilabel/auroc"] == 0.75
    assert record["metrics"] == {"multilabel/auroc": 0.75, "multilabel/undefined": None, "multilabel/classes": 2}
    assert record["details"] == {"undefined": None, "per_class": [0.5, None], "count": 3}
    with np.load(tmp_path / "work" / "predictions.npz") as arrays:
        assert arrays["scores"].shape == (16, 3)
    text = (tmp_path / "work" / "results.json").read_text()
    assert str(tmp_path) not in text
    assert PATIENT not in text


def test_trained_and_tested_in_one_process(tmp_path):
    run = detailed(tmp_path, "one", randomness=dict(seed=4))
    run.train()
    run.test()
    record = read(tmp_path)
    assert (record["checkpoint"], record["method"], record["backbone"]) == (None, "random init", None)
    assert (record["seed"], record["fraction"], record["train"]["images"]) == (4, 1.0, 48)


def test_a_checkpoint_without_a_record_costs_the_counts_alone(tmp_path, trained, caplog):
    checkpoint = torch.load(tmp_path / "work" / "linear.pth", weights_only=True)
    del checkpoint["meta"]["provenance"]
    torch.save(checkpoint, tmp_path / "foreign.pth")
    run = runner(tmp_path, name="test", caplog=caplog, load_from=f"{tmp_path}/foreign.pth")
    run.test()
    record = read(tmp_path)
    assert record["train"] == {"images": None, "patients": None, "sha256": None}
    assert (record["seed"], record["fraction"], record["method"]) == (0, 1.0, "random init")
    assert "the checkpoint has no record of its training" in caplog.text


class Data:
    """Another package's data set."""

    metainfo = {"classes": ("background", "lung")}  # noqa: RUF012

    def __len__(self):
        return 7


def test_a_metric_without_details_still_gets_a_record(tmp_path, monkeypatch):
    """And nothing of an earlier test is left beside it."""
    (tmp_path / "predictions.npz").write_bytes(b"old")
    hook, lines = ResultsHook(), []
    monkeypatch.setattr(hook, "_training", lambda runner: {"method": "a"})
    fake = SimpleNamespace(
        test_evaluator=SimpleNamespace(metrics=[object()]),
        test_dataloader=SimpleNamespace(dataset=Data()),
        model=SimpleNamespace(decode_head=None),
        work_dir=str(tmp_path),
        logger=SimpleNamespace(info=lines.append),
    )
    hook.after_test_epoch(fake, {"mIoU": 0.5, "table": "text"})
    record = json.loads((tmp_path / "results.json").read_text())
    assert (record["task"], record["metrics"], record["details"]) == ("segmentation", {"mIoU": 0.5}, {})
    assert (record["test"]["type"], record["test"]["images"], record["test"]["sha256"]) == ("Data", 7, None)
    assert record["test"]["classes"] == ["background", "lung"]
    assert not (tmp_path / "predictions.npz").exists()
    details = {"classes": [{"name": "left"}, {"name": "right"}]}  # a metric of masks says its classes
    assert module._test_set(fake, object(), details)["classes"] == ["left", "right"]


def test_a_failed_write_leaves_no_record_of_another_test(tmp_path, monkeypatch):
    ResultsHook._write(tmp_path, {"a": 1}, {"x": np.zeros(2)})

    def full(path, data):
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "write_whole", full)
    with pytest.raises(OSError, match="no space"):
        ResultsHook._write(tmp_path, {"a": 2}, {"x": np.ones(2)})
    assert not list(tmp_path.iterdir())


def test_a_config_in_a_checkpoint_is_read_without_running_it():
    cfg = dict(
        train_dataloader=dict(dataset=dict(type="A", fraction=0.1, shares=(("a", 0.5), ("b", -1)))),
        hooks=[dict(type="B", on=None), 3],
        names={"a-b": dict(c=1)},
        low=float("-inf"),
    )
    assert trained_config({"meta": {"cfg": Config(cfg).pretty_text}}) == cfg
    assert trained_config({"meta": {"cfg": "a = 1\nb = __import__('os').getcwd()\n"}}) is None
    assert trained_config({"meta": {"cfg": "import os"}}) is None
    assert trained_config({"state_dict": {}}) is None
