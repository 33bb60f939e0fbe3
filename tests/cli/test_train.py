"""What the arguments of `otcxr train` do to the config and to the work dir."""

import logging
import os
import re

import pytest
import torch
from mmengine.config import Config

from otcxr_mm.cli import train
from otcxr_mm.cli.runner import start_processes
from otcxr_mm.cli.work_dir import refuse_to_overwrite, remove_run
from otcxr_mm.utils.checkpoints import latest_checkpoint

LOADER = dict(batch_size=4, num_workers=0, persistent_workers=True)


@pytest.fixture
def apply(tmp_path):
    """The config that arguments of `otcxr train` lead to."""

    def run(*argv):
        cfg = Config(dict(optim_wrapper=dict(type="OptimWrapper"), train_dataloader=LOADER, work_dir=str(tmp_path)))
        cfg.auto_scale_lr = dict(base_batch_size=8, enable=False)
        train._apply_arguments(cfg, train._parse(["x.py", *argv]))
        return cfg

    return run


@pytest.mark.parametrize(("gpu", "wrapper"), [(True, "AmpOptimWrapper"), (False, "otcxr_mm.BFloat16OptimWrapper")])
def test_amp_is_for_the_device(gpu, wrapper, apply, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert apply("--amp").optim_wrapper.type == wrapper


def test_the_learning_rate_is_scaled_when_asked(apply):
    assert apply("--auto-scale-lr").auto_scale_lr.enable


def test_workers_persist_only_if_there_are_some(apply):
    assert not apply().train_dataloader.persistent_workers


def test_resume_takes_the_last_checkpoint_or_starts(apply, tmp_path, capsys):
    assert apply("--resume").get("load_from") is None
    assert f"no checkpoint in {tmp_path} yet" in capsys.readouterr().out
    (tmp_path / "epoch_1.pth").touch()
    cfg = apply("--resume")
    assert (cfg.resume, cfg.load_from) == (True, str(tmp_path / "epoch_1.pth"))


def test_latest_checkpoint(tmp_path):
    assert latest_checkpoint(str(tmp_path / "nowhere")) is None
    assert latest_checkpoint(str(tmp_path)) is None
    for i, name in enumerate(["epoch_2.pth", "iter_9.pth", "backbone.pth", "epoch_3.pth.tmp.12"]):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (i, i))
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / "iter_9.pth")
    (tmp_path / "last_checkpoint").write_text("/moved/away/epoch_2.pth")
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / "epoch_2.pth")
    (tmp_path / "last_checkpoint").write_text("")  # killed while it was written
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / "iter_9.pth")


def test_an_earlier_run_is_not_overwritten(tmp_path, apply):
    kept = ["mine.txt", "features/a.pth", "20260101_000000/a.log", "weights.pth"]
    ours = ["epoch_3.pth", "best_auroc_epoch_2.pth", "linear.pth", "backbone.pth", "backbone.json", "results.json"]
    refuse_to_overwrite(str(tmp_path))
    for name in (*kept, *ours, "last_checkpoint"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    with pytest.raises(SystemExit, match=r"already holds a run .*--resume.*--work-dir DIR.*--overwrite"):
        apply()
    apply("--overwrite")
    apply("--estimate")
    remove_run(str(tmp_path))
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("[!.]*") if p.is_file()) == sorted(kept)
    refuse_to_overwrite(str(tmp_path))


@pytest.mark.parametrize(
    ("launcher", "message"),
    [("slurm", "--launcher slurm needs a GPU"), ("pytorch", "for processes that torchrun started")],
)
def test_a_launcher_that_does_not_work_on_a_cpu(launcher, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(SystemExit, match=message):
        start_processes(Config(dict(launcher=launcher)))


@pytest.mark.parametrize(
    ("length", "schedule", "said"),
    [
        (dict(max_epochs=20), [dict(end=5), dict(end=100)], "ends at epoch 100: also set param_scheduler.1.end=20"),
        (dict(max_epochs=20), [dict(end=5), dict(end=20)], ""),
        (dict(max_iters=50), [dict(by_epoch=False, end=80)], "max_iters is 50, but .* ends at iteration 80"),
        (dict(max_epochs=20), [], ""),
    ],
)
def test_a_schedule_that_ends_elsewhere_is_a_warning(length, schedule, said, caplog):
    train._warn_of_schedule(Config(dict(train_cfg=length, param_scheduler=schedule)), logging.getLogger("schedule"))
    assert bool(caplog.text) == bool(said)
    if said:
        assert re.search(said, caplog.text)
