"""Fine-tuning by a number of iterations, weights of positives, thresholds from validation images."""

import json
import os
import socket

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.models import ResNet

import otcxr_mm
from otcxr_mm.engine.norms import calibrate_batch_norm
from otcxr_mm.utils.checkpoints import best_checkpoint
from tests.conftest import ROOT, write_image
from tests.engine.runs import config, runner
from tests.journeys.conftest import otcxr  # noqa: F401


def test_a_budget_of_iterations_is_kept_to_the_last_one(tmp_path):
    run = runner(tmp_path, "finetune", **{"train_cfg.max_iters": 7, "train_cfg.val_interval": 3})
    validated, validate = [], run.val_loop.run
    run.val_loop.run = lambda: (validated.append(run.iter), validate())
    run.train()
    assert run.iter == 7  # two epochs of 3, and one iteration
    assert validated == [3, 6, 7]
    assert torch.load(f"{tmp_path}/work/iter_7.pth", weights_only=True)["meta"]["iter"] == 7


@pytest.mark.parametrize("first", [2, 4])  # in the middle of the same epoch, and of the one before
def test_a_budget_is_extended_to_the_same_weights(tmp_path, first):
    whole = runner(tmp_path, "finetune", "whole", **{"train_cfg.max_iters": 5}).train().state_dict()
    part = {"work_dir": f"{tmp_path}/part"}
    runner(tmp_path, "finetune", "part", **part, **{"train_cfg.max_iters": first}).train()
    part.update(resume=True, load_from=f"{tmp_path}/part/iter_{first}.pth")
    rest = runner(tmp_path, "finetune", "rest", **part, **{"train_cfg.max_iters": 5}).train().state_dict()
    assert all(torch.equal(whole[name], rest[name]) for name in whole)


def test_epochs_or_iterations_not_both(tmp_path):
    with pytest.raises(ValueError, match="takes max_epochs or max_iters, got 2 and 4: set one of them to None"):
        _ = runner(tmp_path, "finetune", **{"train_cfg.max_epochs": 2}).train_loop


def test_positive_weights_are_counted_on_training_images_alone(tmp_path, caplog):
    run = runner(tmp_path, "finetune", caplog=caplog, **{"model.head.loss.pos_weight": "train"})
    labels = run.train_loop.dataloader.dataset.records.labels
    otcxr_mm.PositiveWeightHook().before_train(run)
    expected = [(labels[:, c] == 0).sum() / (labels[:, c] == 1).sum() for c in range(3)]
    assert len(labels) == 48
    assert np.isnan(labels[:, 1]).any()
    assert run.model.head.loss_module.pos_weight.tolist() == pytest.approx(expected)
    assert "weights of positives from 48 training images: Virus 0.846" in caplog.text
    assert "head.loss_module.pos_weight" not in run.model.state_dict()
    labels[labels[:, 0] == 0, 0] = np.nan
    run.model.head.loss_module.waits_for_counts = True
    otcxr_mm.PositiveWeightHook().before_train(run)
    assert "without positives or without negatives get weight 1: Virus" in caplog.text
    assert run.model.head.loss_module.pos_weight[0] == 1


def test_thresholds_come_from_validation_images(tmp_path):
    run = runner(tmp_path, "finetune", **{"train_cfg.max_iters": 1})
    run.train()
    saved = set(os.listdir(tmp_path / "work"))
    metrics = run.test()
    (metric,), (val_metric,) = run.test_evaluator.metrics, run.val_evaluator.metrics
    assert metric.thresholds == val_metric.details["best_f1"]
    assert set(metric.thresholds) == {"Virus", "Fungus", "Abscess"}
    assert "multilabel/f1" in metrics
    new = set(os.listdir(tmp_path / "work")) - saved
    assert {"results.json", "results.csv", "predictions.npz", "reliability.png"} <= new
    assert not any(name.startswith("best") for name in new)
    record = json.loads((tmp_path / "work" / "results.json").read_text())
    assert (record["checkpoint"], record["backbone"], record["method"]) == (None, None, "random init")


def test_a_work_dir_needs_one_config_and_a_checkpoint(tmp_path, otcxr):  # noqa: F811
    work = tmp_path / "work"
    work.mkdir()
    config(tmp_path).dump(str(work / "c.py"))
    assert "has no checkpoint: run otcxr train first" in otcxr("test", work).out
    (work / "other.py").touch()
    assert "expected one config (*.py) in this folder, found 2" in otcxr("test", work).out


def test_the_classifier_on_frozen_features_goes_before_others(tmp_path):
    assert best_checkpoint(str(tmp_path)) is None
    for name in ("epoch_3.pth", "best_a_iter_2.pth", "linear.pth"):
        (tmp_path / name).touch()
        assert best_checkpoint(str(tmp_path)) == str(tmp_path / name)


def test_batch_norm_gets_the_statistics_of_training_images(tmp_path):
    run = runner(tmp_path, "finetune", **{"model.backbone.frozen_stages": 4, "model.backbone.norm_eval": True})
    calibrate_batch_norm(run.model, run.train_loop.dataloader)
    with torch.no_grad():
        images = torch.stack([item["inputs"] for item in run.train_dataloader.dataset]).float()
        maps = run.model.backbone.conv1((images - 127.5) / 64)
    found = run.model.backbone.bn1.running_mean
    assert found.abs().max() > 1e-3
    assert torch.allclose(found, maps.mean((0, 2, 3)), atol=1e-3)


def test_batch_norm_adapts_to_radiographs_before_pre_training(tmp_path):
    """As from ImageNet's weights: both views count, and the neck, which takes two, is left alone."""
    for i in range(8):
        write_image(tmp_path / "images" / f"{i}.png", (48, 48), value=215 + 5 * i)
    backbone = ResNet(18, in_channels=1, base_channels=8, stem_channels=8, out_indices=(3,))
    torch.save(backbone.state_dict(), tmp_path / "start.pth")
    cfg = Config.fromfile(ROOT / "tests" / "tiny.py")
    cfg.merge_from_dict(
        {
            "model.backbone": dict(_delete_=True, type="ResNet", depth=18, in_channels=1, base_channels=8),
            "model.neck.in_channels": (64,),
            "train_dataloader.dataset.data_root": str(tmp_path / "images"),
            "default_hooks.load_backbone": dict(
                type="otcxr_mm.LoadBackboneHook", checkpoint=str(tmp_path / "start.pth"), calibrate=True
            ),
        }
    )
    cfg.model.backbone.stem_channels = 8
    cfg.work_dir = str(tmp_path / "work")
    run = Runner.from_cfg(cfg)
    neck = {name: value.clone() for name, value in run.model.neck.state_dict().items()}
    hook = next(hook for hook in run.hooks if type(hook).__name__ == "LoadBackboneHook")
    assert len(run.train_loop.dataloader.dataset) == 8  # builds it
    hook.before_train(run)
    assert torch.equal(run.model.backbone.conv1.weight, backbone.conv1.weight)
    with torch.no_grad():
        views = [view for item in run.train_dataloader.dataset for view in item["inputs"]]
        maps = backbone.conv1((torch.stack(views).float() - 127.5) / 64)
    # other crops of the same images
    found = run.model.backbone.bn1.running_mean
    assert found.abs().max() > 1e-2
    torch.testing.assert_close(found, maps.mean((0, 2, 3)), atol=0.3 * found.abs().max().item(), rtol=0)
    assert all(torch.equal(value, neck[name]) for name, value in run.model.neck.state_dict().items())


def test_two_processes_come_to_what_one_does(tmp_path, otcxr):  # noqa: F811
    """A linear evaluation and its test: features, weights, thresholds, metrics and predictions."""

    def two(*command):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": 2}
        ranks = [{**env, "RANK": rank, "LOCAL_RANK": rank} for rank in range(2)]
        for process in [otcxr.start(*command, "--launcher", "pytorch", env=rank) for rank in ranks]:
            assert process.wait(120).status == 0, process.out[-3000:]

    # an odd number of test images: one is there twice for two processes
    odd = {"test_dataloader.dataset.indices": 5}
    runner(tmp_path, name="train", **odd).train()
    runner(tmp_path, name="test", load_from=f"{tmp_path}/work/linear.pth", **odd).test()
    config(tmp_path, work_dir=f"{tmp_path}/two", **odd).dump(str(tmp_path / "c.py"))
    two("train", tmp_path / "c.py")
    two("test", tmp_path / "two")
    works = [tmp_path / name for name in ("work", "two")]
    records = [json.loads((work / "results.json").read_text()) for work in works]
    predictions = [np.load(work / "predictions.npz") for work in works]
    weights = [torch.load(work / "linear.pth", weights_only=True)["state_dict"]["head.fc.weight"] for work in works]
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-6)
    assert records[0]["metrics"] == pytest.approx(records[1]["metrics"], abs=1e-5, nan_ok=True)
    assert records[0]["train"] == records[1]["train"]
    assert [record["world_size"] for record in records] == [1, 2]
    assert records[0]["test"]["images"] == len(predictions[0]["sample_idx"]) == 5
    for name in ("sample_idx", "patient", "labels"):
        np.testing.assert_array_equal(predictions[0][name], predictions[1][name])
    np.testing.assert_allclose(predictions[0]["scores"], predictions[1]["scores"], atol=1e-5)
