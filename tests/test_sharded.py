"""FSDP against DDP, by two gloo processes: the same losses and files, also after a resumption and a signal."""

import os
import signal

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS

from otcxr_mm import load_backbone_weights
from tests.conftest import ROOT, write_image

pytestmark = pytest.mark.xdist_group("distributed")
FSDP = Config.fromfile(ROOT / "configs" / "_base_" / "strategies" / "fsdp.py")
ADAMW = dict(type="AdamW", lr=1e-3, weight_decay=0.5)
SGD = dict(type="SGD", lr=0.05, momentum=0.9, weight_decay=0.1)  # unlike Adam, it sees the size of a gradient


class AskToEnd(Hook):
    """A signal to process 1 alone."""

    priority = "HIGHEST"

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 2 and runner.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def config(folder, name, sharded=True, optimizer=ADAMW):
    """A run of two epochs of two iterations, with all that depends on gradients' norms and parameters' shapes."""
    cfg = Config.fromfile(ROOT / "tests" / "tiny.py")
    cfg.model.update(ema=None)
    cfg.model.backbone.update(drop_rate=0.0, drop_path_rate=0.0)
    cfg.optim_wrapper.clip_grad = dict(max_norm=0.5)
    cfg.optim_wrapper.optimizer = optimizer
    cfg.optim_wrapper.paramwise_cfg = dict(norm_decay_mult=0.0, flat_decay_mult=0.0)
    cfg.train_cfg.max_epochs, cfg.default_hooks.checkpoint.interval, cfg.custom_hooks = 2, 3, []
    cfg.launcher, cfg.work_dir, cfg.experiment_name = "pytorch", str(folder / name), name
    if sharded:
        cfg.merge_from_dict(FSDP.to_dict())
        cfg.strategy.model_wrapper.auto_wrap_policy.min_num_params = 5_000  # a part in FSDP's root, parts in modules
    return cfg


def train(cfg, *hooks):
    """Trains, and gives the losses."""
    from otcxr_mm.cli.runner import build_runner

    runner = build_runner(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return [float(loss) for loss in runner.message_hub.get_scalar("train/loss").data[0]]


def refused(folder, name, **changes):
    """The error of a run that FSDP cannot do."""
    cfg = config(folder, name)
    cfg.merge_from_dict(changes)
    with pytest.raises(ValueError, match="FSDP") as error:
        train(cfg)
    return str(error.value)


def worker(rank, folder):
    torch.set_num_threads(1)
    os.environ.update(TINY_DATA=str(folder / "images"), RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    ddp = config(folder, "ddp", sharded=False, optimizer=SGD)
    ddp.model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None)
    found = {"ddp": train(ddp), "fsdp": train(config(folder, "fsdp", optimizer=SGD))}
    found["whole"] = train(config(folder, "whole"))
    with pytest.raises(SystemExit) as ended:
        train(config(folder, "resumed"), AskToEnd())
    found["status"] = ended.value.code
    resumed = config(folder, "resumed")
    resumed.resume, resumed.load_from = True, str(folder / "resumed" / "interrupted.pth")
    found["resumed"] = train(resumed)
    loaded = config(folder, "loaded", optimizer={**SGD, "lr": 0.0})
    start = str(folder / "ddp" / "backbone.pth")
    loaded.default_hooks.load_backbone = dict(type="otcxr_mm.LoadBackboneHook", checkpoint=start)
    train(loaded)
    found["refused"] = refused(
        folder, "ema", **{"model.ema": 0.1, "custom_hooks": [dict(type="otcxr_mm.EMATargetHook")]}
    )
    torch.save(found, folder / f"{rank}.pth")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of the runs, and what the main process has found."""
    folder = tmp_path_factory.mktemp("fsdp")
    for i in range(16):
        write_image(folder / "images" / f"{i}.png", (40, 40), 10 * i)
    mp.spawn(worker, (folder,), nprocs=2)
    return folder, *(torch.load(folder / f"{rank}.pth") for rank in range(2))


def tensors(path):
    loaded = torch.load(path, weights_only=True)
    return loaded.get("state_dict", loaded)


def difference(one, other):
    one, other = tensors(one), tensors(other)
    assert {name: value.shape for name, value in one.items()} == {name: value.shape for name, value in other.items()}
    return max((other[name] - value).abs().max().item() for name, value in one.items())


def test_fsdp_trains_as_ddp_does(runs):
    folder, main, _ = runs
    assert len(main["ddp"]) == 4
    assert main["fsdp"] == pytest.approx(main["ddp"], rel=1e-5)
    assert difference(folder / "ddp" / "iter_3.pth", folder / "fsdp" / "iter_3.pth") < 1e-5


def test_a_backbone_of_fsdp_is_whole(runs):
    folder, *_ = runs
    assert difference(folder / "ddp" / "backbone.pth", folder / "fsdp" / "backbone.pth") < 1e-5
    assert (folder / "fsdp" / "manifest.json").is_file()
    cfg = config(folder, "none")
    load_backbone_weights(
        MODELS.build({**cfg.model.backbone, "_scope_": "mmpretrain"}), folder / "fsdp" / "backbone.pth"
    )


def test_a_signal_to_one_process_saves_and_ends_all_and_the_run_resumes(runs):
    folder, main, other = runs
    assert (main["status"], other["status"]) == (128 + signal.SIGTERM,) * 2
    assert main["resumed"][-1] == pytest.approx(main["whole"][-1], rel=1e-6)
    assert difference(folder / "whole" / "backbone.pth", folder / "resumed" / "backbone.pth") < 1e-6
    assert not list(folder.rglob("*.tmp.*"))


def test_fsdp_starts_from_a_backbone(runs):
    folder, *_ = runs
    assert difference(folder / "ddp" / "backbone.pth", folder / "loaded" / "backbone.pth") < 1e-6


def test_what_needs_the_whole_model_is_refused(runs):
    assert runs[1]["refused"].startswith("EMATargetHook needs the whole model in each process")
