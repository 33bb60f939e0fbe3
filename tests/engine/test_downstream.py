"""Fine-tuning by a number of iterations, weights of positives, thresholds from validation images."""

import csv
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

import otcxr_mm
from otcxr_mm.utils.checkpoints import best_checkpoint
from tests.conftest import ROOT, write_image


@pytest.fixture
def cfg(tmp_path):
    """Twelve images in train, of four patients, with two labels; six in val and test each."""
    rng = np.random.default_rng(0)
    rows = ["filename,patient,split,a,b,age,sex"]
    for i in range(24):
        split = "train" if i < 12 else "val" if i < 18 else "test"
        a, b = int(i % 2), int(i % 3 == 0) if i % 5 else -1
        write_image(tmp_path / "images" / f"{i}.png", (40, 40), value=int(60 + 120 * a + rng.integers(0, 20)))
        rows.append(f"{i}.png,p{i // 3},{split},{a},{b},{20 + i},{'MF'[i % 2]}")
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    base = Config.fromfile(ROOT / "configs" / "downstream" / "finetune" / "finetune_r18_kermany.py")
    base.model.backbone.update(base_channels=8, stem_channels=8)
    base.model.head.update(in_channels=64, num_classes=2)
    base.default_hooks.load_backbone.checkpoint = None
    for part in ("train", "val", "test"):
        loader = base[f"{part}_dataloader"]
        loader.batch_size = 4
        loader.dataset = dict(
            type="otcxr_mm.CSVLabeledCXR",
            data_root=str(tmp_path),
            ann_file="t.csv",
            img_prefix="images",
            label_columns=["a", "b"],
            split=part,
            pipeline=[
                dict(type="otcxr_mm.LoadCXR"),
                dict(type="Resize", scale=(32, 32)),
                dict(type="otcxr_mm.PackCXR"),
            ],
        )
    base.train_cfg.update(max_iters=7, val_interval=3)
    base.param_scheduler = [dict(type="ConstantLR", factor=1.0, by_epoch=False)]
    base.default_hooks.checkpoint.interval = 2
    base.default_hooks.logger.interval = 1
    base.work_dir, base.experiment_name = str(tmp_path / "work"), tmp_path.name
    return base


def test_a_budget_of_iterations_is_kept_to_the_last_one(cfg):
    runner = Runner.from_cfg(cfg)
    validated = []
    run = runner.val_loop.run
    runner.val_loop.run = lambda: (validated.append(runner.iter), run())
    runner.train()
    assert runner.iter == 7  # two epochs of 3, and one iteration
    assert validated == [3, 6, 7]
    assert torch.load(f"{cfg.work_dir}/iter_7.pth", weights_only=True)["meta"]["iter"] == 7


def test_a_budget_resumes_to_the_same_weights(cfg, tmp_path):
    whole = Runner.from_cfg(cfg).train().state_dict()
    part = cfg.copy()
    part.train_cfg.max_iters, part.work_dir, part.experiment_name = 4, str(tmp_path / "part"), "part"
    Runner.from_cfg(part).train()
    part.train_cfg.max_iters, part.resume, part.load_from = 7, True, str(tmp_path / "part" / "iter_4.pth")
    part.experiment_name = "rest"
    rest = Runner.from_cfg(part).train().state_dict()
    assert all(torch.equal(whole[name], rest[name]) for name in whole)


def test_epochs_or_iterations_not_both(cfg):
    cfg.train_cfg.max_epochs = 2
    with pytest.raises(ValueError, match="takes max_epochs or max_iters, got 2 and 7: set one of them to None"):
        Runner.from_cfg(cfg).train()


def test_positive_weights_are_counted_on_training_images_alone(cfg, caplog):
    cfg.model.head.loss.pos_weight = "train"
    cfg.train_cfg.max_iters = 1
    runner = Runner.from_cfg(cfg)
    runner.logger.addHandler(caplog.handler)
    runner.train()
    labels = runner.train_dataloader.dataset.records.labels
    expected = [(labels[:, c] == 0).sum() / (labels[:, c] == 1).sum() for c in range(2)]
    assert len(labels) == 12
    assert np.isnan(labels[:, 1]).any()
    assert runner.model.head.loss_module.pos_weight.tolist() == pytest.approx(expected)
    assert "weights of positives from 12 training images: a 1, b" in caplog.text
    assert "head.loss_module.pos_weight" not in runner.model.state_dict()


def test_positive_weights_that_cannot_be_counted(cfg, caplog):
    with pytest.raises(ValueError, match="max_weight must be at least 1, got 0.5"):
        otcxr_mm.PositiveWeightHook(0.5)
    loss = otcxr_mm.MaskedBCELoss(pos_weight="train")
    with pytest.raises(ValueError, match="pos_weight='train' needs otcxr_mm.PositiveWeightHook"):
        loss(torch.zeros(1, 2), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="pos_weight is a list, None or 'train', got 'auto'"):
        otcxr_mm.MaskedBCELoss(pos_weight="auto")
    cfg.model.head.loss.pos_weight = "train"
    cfg.train_cfg.max_iters = 1
    cfg.train_dataloader.dataset.indices = [1, 7]  # positives of the first class alone
    runner = Runner.from_cfg(cfg)
    runner.logger.addHandler(caplog.handler)
    runner.train()
    assert "without positives or without negatives get weight 1: a" in caplog.text
    assert runner.model.head.loss_module.pos_weight[0] == 1


def test_thresholds_come_from_validation_images(cfg):
    cfg.train_cfg.max_iters = 1
    runner = Runner.from_cfg(cfg)
    runner.train()
    saved = set(os.listdir(cfg.work_dir))
    metrics = runner.test()
    (metric,) = runner.test_evaluator.metrics
    (val_metric,) = runner.val_evaluator.metrics
    assert metric.thresholds == val_metric.details["best_f1"]
    assert set(metric.thresholds) == {"a", "b"}
    assert "multilabel/f1" in metrics
    with open(f"{cfg.work_dir}/results.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == ["a", "b", "mean"]
    record = json.loads(Path(cfg.work_dir, "results.json").read_text())["details"]["classes"]
    for row, expected in zip(rows[:2], record, strict=True):
        assert float(row["auroc"]) == expected["auroc"]
        assert expected["auroc_interval"] is None  # of two patients
        assert not any("interval" in name and value for name, value in row.items())
        assert int(row["positives"]) == expected["positives"]
    assert {"results.json", "predictions.npz"} <= set(os.listdir(cfg.work_dir)) - saved
    assert not any(name.startswith("best") for name in set(os.listdir(cfg.work_dir)) - saved)


def test_a_work_dir_is_tested_with_its_own_config_and_best_checkpoint(cfg, python, tmp_path):
    cfg.dump(str(tmp_path / "c.py"))
    python(ROOT / "tools" / "train.py", tmp_path / "c.py", "--cfg-options", "train_cfg.max_iters=3", "method=mine")
    work = tmp_path / "work"
    result = python(ROOT / "tools" / "test.py", work)
    assert f"testing {work}/best_multilabel_auroc_iter_3.pth" in result.stdout
    record = json.loads((work / "results.json").read_text())
    assert record["method"] == "mine"
    assert record["test"]["images"] == 6
    (work / "other.py").write_text("")
    assert (
        "expected one config (*.py) in this folder, found 2"
        in python(ROOT / "tools" / "test.py", work, check=False).stderr
    )
    assert (
        "has no checkpoint: run otcxr train first"
        in python(ROOT / "tools" / "test.py", tmp_path / "c.py", "--work-dir", tmp_path / "empty", check=False).stderr
    )


def test_the_classifier_on_frozen_features_goes_before_others(tmp_path):
    assert best_checkpoint(str(tmp_path)) is None
    for name in ("epoch_3.pth", "best_a_iter_2.pth", "linear.pth"):
        (tmp_path / name).touch()
        assert best_checkpoint(str(tmp_path)) == str(tmp_path / name)


def test_samples_know_patient_age_and_sex(cfg):
    logging.disable(logging.CRITICAL)
    loader = Runner.build_dataloader(cfg.test_dataloader)
    sample = next(iter(loader))["data_samples"][1]
    assert (sample.patient_id, sample.age, sample.sex, sample.sample_idx) == ("p6", 39.0, "F", 1)
    logging.disable(logging.NOTSET)


def test_an_untrained_frozen_backbone_gets_the_statistics_of_training_images(cfg):
    cfg.default_hooks.load_backbone.calibrate = True
    cfg.model.backbone.update(frozen_stages=4, norm_eval=True)
    cfg.train_cfg.max_iters = 1
    runner = Runner.from_cfg(cfg)
    runner.train()
    norm = runner.model.backbone.bn1
    assert norm.running_mean.abs().max() > 1e-3
    with torch.no_grad():
        images = torch.stack([item["inputs"] for item in runner.train_dataloader.dataset]).float()
        maps = runner.model.backbone.conv1((images - 127.5) / 64)
    assert torch.allclose(norm.running_mean, maps.mean((0, 2, 3)), atol=1e-3)


def test_two_processes_come_to_what_one_does(cfg, python, tmp_path):
    """A linear evaluation and its test: features, weights, thresholds, metrics and predictions."""
    cfg.train_cfg = dict(type="otcxr_mm.LinearEvalLoop", decays=(1e-2, 1.0), calibrate=True)
    cfg.default_hooks.checkpoint = dict(type="otcxr_mm.AtomicCheckpointHook", interval=-1)
    cfg.param_scheduler = None
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        cfg[loader].sampler.shuffle = False
    cfg.test_dataloader.dataset.indices = 5  # an odd number: one is there twice for two processes
    cfg.dump(str(tmp_path / "c.py"))
    records, predictions, weights = [], [], []
    for processes in (1, 2):
        work = tmp_path / f"work{processes}"
        start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"] if processes == 2 else []
        launcher = ["--launcher", "pytorch"] if processes == 2 else []
        python(*start, ROOT / "tools" / "train.py", tmp_path / "c.py", "--work-dir", work, *launcher)
        python(*start, ROOT / "tools" / "test.py", work, *launcher)
        records.append(json.loads((work / "results.json").read_text()))
        predictions.append(np.load(work / "predictions.npz"))
        weights.append(torch.load(work / "linear.pth", weights_only=True)["state_dict"]["head.fc.weight"])
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-6)
    assert records[0]["metrics"] == pytest.approx(records[1]["metrics"], abs=1e-5, nan_ok=True)
    assert records[0]["test"]["images"] == len(predictions[0]["sample_idx"]) == 5
    for name in ("sample_idx", "patient", "labels"):
        np.testing.assert_array_equal(predictions[0][name], predictions[1][name])
    np.testing.assert_allclose(predictions[0]["scores"], predictions[1]["scores"], atol=1e-5)
