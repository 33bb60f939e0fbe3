"""What the monitors of pre-training say, and that a run does not notice them."""

import json
import random
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

import otcxr_mm
from otcxr_mm.engine.health import probe_problems, training_problems
from otcxr_mm.engine.model import undisturbed
from otcxr_mm.utils.redaction import shareable
from tests.conftest import ROOT
from tests.engine import runs
from tests.journeys.conftest import otcxr  # noqa: F401

PROBE = dict(type="otcxr_mm.OnlineProbeHook", decays=(1.0, 0.1), ks=(5,), views=4)


def labelled(folder, **more):
    """Data sets of :func:`runs.write_data` with labels."""
    linear = runs.config(folder)
    return {
        split: {**linear[f"{split}_dataloader"].dataset.to_dict(), "test_mode": True, **more}
        for split in ("train", "val")
    }


def pretrain(folder, name="pre", watched=True, **changes):
    """The tiny pre-training on 16 of those images, two iterations an epoch, with or without all monitors."""
    labels = labelled(folder)
    cfg = Config.fromfile(ROOT / "tests" / "tiny.py")
    cfg.train_dataloader.batch_size = 8
    data = dict(data_root=str(folder), ann_file="t.csv", img_prefix="images", split="train", indices=16)
    cfg.train_dataloader.dataset.update(data)
    cfg.train_cfg.max_epochs = 2
    cfg.default_hooks.checkpoint.update(by_epoch=True, interval=1, max_keep_ckpts=-1)
    if watched:
        cfg.custom_hooks += [{**PROBE, "labels": labels}]
    else:
        del cfg.default_hooks["monitor"]
    cfg.work_dir, cfg.experiment_name = str(folder / name), f"{folder.name}_{name}"
    cfg.merge_from_dict(changes)
    return cfg


def train(cfg, caplog=None):
    """Trains; gives the model."""
    runner = Runner.from_cfg(cfg)
    if caplog is not None:
        runner.logger.addHandler(caplog.handler)
    return runner.train()


def scalars(work_dir):
    """What the run gave the visualiser, by name: the values in order."""
    found = {}
    for log in sorted(Path(work_dir).glob("*/vis_data/scalars.json")):
        for line in log.read_text().splitlines():
            for name, value in json.loads(line).items():
                found.setdefault(name, []).append(value)
    return found


def assert_same(one, other, epoch=2):
    """Two runs have ended with the same weights and optimiser, to the bit."""
    a, b = (torch.load(Path(folder, f"epoch_{epoch}.pth"), weights_only=True) for folder in (one, other))
    assert all(torch.equal(tensor, b["state_dict"][name]) for name, tensor in a["state_dict"].items())
    for slots in zip(a["optimizer"]["state"].values(), b["optimizer"]["state"].values(), strict=True):
        assert all(torch.equal(torch.as_tensor(slots[0][key]), torch.as_tensor(slots[1][key])) for key in slots[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_does_not_notice_the_monitors(tmp_path, workers):
    """Nothing seeds the generators before each iteration here, so that every draw would move those that follow."""
    for name, watched in (("with", True), ("without", False)):
        cfg = pretrain(tmp_path, name, watched, **{"train_dataloader.num_workers": workers})
        del cfg.default_hooks["reproducibility"]
        if watched:
            cfg.custom_hooks += [{**cfg.custom_hooks[-1], "by_epoch": False}]
        train(cfg)
    assert_same(tmp_path / "with", tmp_path / "without")
    assert len(scalars(tmp_path / "with")["probe/linear_auroc"]) == 2 + 4


def test_a_resumed_run_does_not_notice_them_either(tmp_path):
    train(pretrain(tmp_path, "without", False))
    train(pretrain(tmp_path, "with"))
    train(pretrain(tmp_path, "resumed", resume=True, load_from=f"{tmp_path}/with/epoch_1.pth"))
    assert_same(tmp_path / "resumed", tmp_path / "without")
    first, second = (scalars(tmp_path / name) for name in ("with", "resumed"))
    same = ("probe/linear_auroc", "probe/correspondence", "plan/right", "features/rank", "tokens/std", "weights/step")
    assert all(first[name][1:] == second[name] for name in same)


def test_two_processes_do_not_notice_them(tmp_path, otcxr):  # noqa: F811
    """With a head that gathers for each plan, and a probe that one process does alone."""
    for name, watched in (("with", True), ("without", False)):
        cfg = pretrain(tmp_path, name, watched, **{"model.head.centre": "batch", "default_hooks.monitor.pictures": 1})
        if not watched:
            del cfg.default_hooks["monitor"]
        cfg.dump(str(tmp_path / f"{name}.py"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free.getsockname()[1], "WORLD_SIZE": 2}
        ranks = [{**env, "RANK": rank, "LOCAL_RANK": rank} for rank in range(2)]
        command = ("train", tmp_path / f"{name}.py", "--launcher", "pytorch")
        for process in [otcxr.start(*command, env=rank) for rank in ranks]:
            assert process.wait(120).status == 0, process.out[-3000:]
    assert_same(tmp_path / "with", tmp_path / "without")
    assert len(scalars(tmp_path / "with")["probe/linear_auroc"]) == 2


def test_what_is_looked_at_undisturbed_is_as_before():
    model = MODELS.build(
        dict(type="ResNet", depth=18, base_channels=4, stem_channels=4, frozen_stages=1, norm_cfg=dict(type="BN"))
    )
    model.train()  # what is frozen stays in evaluation mode
    modes = [module.training for module in model.modules()]
    assert len(set(modes)) == 2
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    draws = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]
    with pytest.raises(KeyError), undisturbed(model):
        out = model(torch.randn(2, 3, 32, 32))[-1] * random.random() * np.random.rand()
        assert not out.requires_grad
        assert not any(module.training for module in model.modules())
        raise KeyError
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert draws == [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]


@pytest.mark.parametrize("head", ["MultiLabelLinearClsHead", "otcxr_mm.KNNHead"])
def test_the_last_probe_is_the_offline_evaluation(tmp_path, real_data, monkeypatch, head):
    """The backbone that the run exports, evaluated through the shipped config, on the probe's images."""
    monkeypatch.setenv("OTCXR_DATA", str(real_data))
    linear = Config.fromfile(ROOT / "configs" / "downstream" / "linear" / "linear_r18_kermany.py")
    for split, fraction in (("train", 0.04), ("val", 0.2)):
        linear[f"{split}_dataloader"].dataset.fraction = fraction
        linear[f"{split}_dataloader"].dataset.pipeline[1].scale = (64, 64)
    linear.model.backbone.update(base_channels=8, stem_channels=8)
    linear.model.head.update(in_channels=64, type=head)
    linear.default_hooks.load_backbone.checkpoint = f"{tmp_path}/pre/backbone.pth"
    linear.work_dir, linear.experiment_name = f"{tmp_path}/linear", f"{tmp_path.name}_linear"
    cfg = pretrain(tmp_path)
    backbone = dict(_delete_=True, **linear.model.backbone, out_indices=(2, 3))
    cfg.merge_from_dict(dict(model=dict(backbone=backbone, neck=dict(in_channels=(32, 64)))))
    cfg.custom_hooks[-1].update(
        labels={split: linear[f"{split}_dataloader"].dataset.to_dict() for split in ("train", "val")},
        decays=linear.train_cfg.decays,
        ks=linear.train_cfg.ks,
    )
    train(cfg)
    train(linear)
    kind = "knn" if head.endswith("KNNHead") else "linear"
    online, offline = scalars(tmp_path / "pre"), scalars(tmp_path / "linear")
    assert 0.6 < online[f"probe/{kind}_auroc"][-1] < 0.995
    assert online[f"probe/{kind}_auroc"][-1] == pytest.approx(offline["multilabel/auroc"][-1], abs=0.002)
    for name in ("normal", "bacteria", "virus"):
        assert online[f"probe/{kind}_auroc/{name}"][-1] == pytest.approx(
            offline[f"multilabel/auroc/{name}"][-1], abs=0.002
        )
