"""What hooks and the training loop do in a small pre-training."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

import otcxr_mm
from otcxr_mm.datasets.inspection import data_sha256
from tests.conftest import ROOT, write_image


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    for i in range(9):
        write_image(tmp_path / "images" / f"{i}.png", (40, 40))
    monkeypatch.setenv("TINY_DATA", str(tmp_path / "images"))
    cfg = Config.fromfile(ROOT / "tests" / "tiny.py")
    cfg.work_dir = str(tmp_path / "work")
    cfg.experiment_name = tmp_path.name
    cfg.train_dataloader.batch_size = 3
    cfg.train_cfg.max_epochs = 2
    return cfg


def test_a_run_writes_the_backbone_and_prints_its_rank(cfg, caplog):
    half = Path(cfg.work_dir, "epoch_1.pth.tmp.123")  # of a killed run
    half.parent.mkdir()
    half.touch()
    runner = Runner.from_cfg(cfg)
    runner.logger.addHandler(caplog.handler)
    model = runner.train()
    assert not half.exists()
    assert "Epoch 2: features/rank" in caplog.text
    with open(f"{cfg.work_dir}/backbone.json") as stream:
        record = json.load(stream)
    assert (record["channels"], record["mean"], record["size"], record["max_value"]) == (1, [127.5], 32, 65535)
    assert (record["epochs"], record["iterations"], record["seed"], record["batch_size"]) == (2, 6, 7, 3)
    train = runner.train_dataloader.dataset
    assert record["train"] == {"images": 9, "patients": 0, "sha256": data_sha256(train)}
    assert record["config_sha256"] == json.loads(Path(cfg.work_dir, "manifest.json").read_text())["config_sha256"]
    # the weights load into MMPretrain's own backbone, under its own names
    init = dict(type="Pretrained", checkpoint=f"{cfg.work_dir}/backbone.pth")
    backbone = MODELS.build({**record["backbone"], "init_cfg": init})
    backbone.init_weights()
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], tensor)


def test_target_moves_with_the_optimiser_and_not_with_every_micro_step(cfg):
    cfg.optim_wrapper.accumulative_counts = 3
    cfg.default_hooks.checkpoint.interval = 3
    cfg.train_cfg.max_epochs = 1
    runner = Runner.from_cfg(cfg)
    updates = []
    update = runner.model.target.update_parameters
    runner.model.target.update_parameters = lambda online: (updates.append(runner.iter), update(online))
    runner.train()
    assert updates == [2]


def test_target_hook_without_target_is_named():
    with pytest.raises(ValueError, match="the model has no target network: set ema"):
        otcxr_mm.EMATargetHook().before_train(SimpleNamespace(model=SimpleNamespace(target=None)))


def test_schedule_reaches_the_model(cfg):
    values = []
    cfg.train_cfg.max_epochs = 1
    runner = Runner.from_cfg(cfg)
    loss = runner.model.head.loss_ot
    loss.register_forward_pre_hook(lambda *_: values.append(loss.eps))
    runner.train()
    assert list(dict.fromkeys(values)) == pytest.approx([0.2, 0.125, 0.05])


def test_schedule_of_nothing_is_named():
    with pytest.raises(AttributeError, match="epsilon"):
        otcxr_mm.AttributeScheduleHook("loss_ot.epsilon", 1, 0).before_train(SimpleNamespace(model=otcxr_mm.OTHead()))


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (dict(by_epoch=True, interval=1), r"epoch 1, iteration 3: .*loss.* not finite. Resume"),
        (dict(by_epoch=False, interval=2), "weights are not finite, such as .*; no checkpoint is written"),
    ],
)
def test_a_diverged_run_ends_without_a_checkpoint(cfg, checkpoint, message):
    cfg.default_hooks.checkpoint.update(checkpoint)
    cfg.optim_wrapper.optimizer = dict(type="SGD", lr=1e30)
    with pytest.raises(FloatingPointError, match=message):
        Runner.from_cfg(cfg).train()
    assert not list(Path(cfg.work_dir).glob("*.pth"))


def test_checkpoints_between_optimiser_steps_are_refused(cfg):
    cfg.optim_wrapper.accumulative_counts = 3
    with pytest.raises(ValueError, match="make interval a multiple of accumulative_counts=3"):
        Runner.from_cfg(cfg).train()


def test_a_run_without_a_seed_resumes_with_that_of_the_checkpoint(cfg):
    cfg.randomness = dict(seed=None)
    first = Runner.from_cfg(cfg)
    first.train()
    cfg.resume, cfg.load_from, cfg.train_cfg.max_epochs = True, f"{cfg.work_dir}/iter_5.pth", 3
    cfg.experiment_name += "_again"
    second = Runner.from_cfg(cfg)
    second.train()
    assert second.seed == first.seed
    assert second.train_dataloader.sampler.seed == first.train_dataloader.sampler.seed


def test_one_checkpoint_is_refused():
    with pytest.raises(ValueError, match="max_keep_ckpts=1 would leave none"):
        otcxr_mm.AtomicCheckpointHook(max_keep_ckpts=1)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (
            dict(batch_size=64, drop_last=True),
            "9 images per process and batches of 64 with drop_last=True make no iter",
        ),
        (
            dict(batch_size=1, drop_last=True),
            "9 images in batches of 1 leave a batch of 1: set .*batch_size to at least 2",
        ),
        (dict(batch_size=4), "9 images in batches of 4 leave a batch of 1: set .*drop_last=True"),
    ],
)
def test_empty_epochs_and_batches_of_one_are_refused_before_training(cfg, loader, message):
    cfg.train_dataloader.update(loader)
    with pytest.raises(ValueError, match=message):
        _ = Runner.from_cfg(cfg).train_loop


def test_processes_with_different_numbers_of_batches_are_refused(cfg, monkeypatch):
    monkeypatch.setattr("otcxr_mm.engine.loops.train.all_gather_object", lambda length: [length, length - 1])
    with pytest.raises(ValueError, match=r"processes have \[3, 2\] batches per epoch.*round_up=True"):
        _ = Runner.from_cfg(cfg).train_loop


def test_bfloat16_wrapper_trains_on_a_cpu(cfg):
    cfg.optim_wrapper.type, cfg.train_cfg.max_epochs = "otcxr_mm.BFloat16OptimWrapper", 1
    runner = Runner.from_cfg(cfg)
    dtypes = set()
    runner.model.backbone.patch_embed.projection.register_forward_hook(lambda m, i, o: dtypes.add(o.dtype))
    runner.train()
    assert dtypes == {torch.bfloat16}
    assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in runner.model.parameters())


def test_progress_is_printed_where_there_is_no_terminal(tmp_path, monkeypatch):
    now = [0.0]
    for clock in ("time.monotonic", "rich.console.monotonic"):
        monkeypatch.setattr(clock, lambda: now[0])
    with open(tmp_path / "out.txt", "w") as file:
        monkeypatch.setattr("sys.__stdout__", file)
        hook, runner = otcxr_mm.ProgressBarHook(seconds=20), SimpleNamespace(iter=100, max_iters=200)
        hook.before_train(runner)
        for runner.iter in range(100, 150):  # resumed, a second each
            now[0] += 1
            hook.after_train_iter(runner, 0, outputs={"loss": torch.tensor(2.5)})
        read = (tmp_path / "out.txt").read_text()  # before the end
        hook.after_train(runner)
    assert [line.split() for line in read.splitlines()] == [
        ["120/200", "0:00:20", "left", "0:01:20", "loss", "2.50"],
        ["140/200", "0:00:40", "left", "0:01:00", "loss", "2.50"],
    ]
