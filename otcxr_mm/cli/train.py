"""Pre-trains, or trains on labels: `otcxr train`, `tools/train.py`."""

import argparse
import os
from typing import TYPE_CHECKING

from ..utils.checkpoints import latest_checkpoint
from .config_file import add_run_arguments, load_config
from .console import ArgumentParser, command
from .work_dir import claim, refuse_to_overwrite, remove_run

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.logging import MMLogger
    from mmengine.runner import Runner


@command
def main(argv: list[str] | None = None) -> None:
    """Trains the model of a config."""
    args = _parse(argv)
    cfg = load_config(args)
    if cfg.get("train_dataloader") is None:
        raise SystemExit(
            f"{args.config} has no train_dataloader: it is a base for other configs, or a config for testing"
        )
    _apply_arguments(cfg, args)

    from .runner import build_runner, leave_processes, start_processes

    start_processes(cfg)
    if args.estimate:
        from .estimate import estimate

        estimate(cfg)
        leave_processes()
        return
    runner = build_runner(cfg, args.verbose)
    if args.overwrite and runner.rank == 0:
        remove_run(runner.work_dir)
    _announce(runner, args)
    try:
        runner.train()
    except RuntimeError:
        asked = [getattr(hook, "asked_to_end", None) for hook in runner.hooks]
        if runner.rank and any(asked):  # the main process has saved and exited; this one was asked to end as well
            raise SystemExit(128 + next(filter(None, asked))) from None
        raise
    leave_processes()


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(description="Train the model of a config")
    add_run_arguments(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="PATH",
        help="resume from a checkpoint; without PATH, from the last one in the work dir, if there is one",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="remove the checkpoints and results of an earlier run in the work dir, and start over",
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="multiply the learning rate by (images per iteration on all GPUs) / auto_scale_lr.base_batch_size",
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="only run a few iterations, and report how long training takes and how much memory and disk it needs",
    )
    args = parser.parse_args(argv)
    if args.resume and (args.overwrite or args.estimate):
        parser.error("--resume continues a run, --overwrite starts over and --estimate measures: choose one of them")
    return args


def _apply_arguments(cfg: "Config", args: argparse.Namespace) -> None:
    """Applies the arguments to the config, and checks the work dir."""
    if args.amp:
        _use_amp(cfg)
    if args.auto_scale_lr:
        if not (cfg.get("auto_scale_lr") or {}).get("base_batch_size"):
            raise SystemExit(f"--auto-scale-lr: {args.config} has no auto_scale_lr = dict(base_batch_size=...)")
        cfg.auto_scale_lr.enable = True
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if cfg.get(name) and not cfg[name].get("num_workers"):
            cfg[name].persistent_workers = False  # torch refuses it without workers
    if args.estimate:
        return  # it leaves the work dir alone
    if args.resume not in (None, "auto") and not os.path.isfile(args.resume):
        raise SystemExit(f"--resume {args.resume}: no such checkpoint")
    claim(cfg.work_dir, cfg.get("launcher", "none"))
    if args.resume:
        path = latest_checkpoint(cfg.work_dir) if args.resume == "auto" else args.resume
        if path is None:
            print(f"--resume: no checkpoint in {cfg.work_dir} yet, training starts from the beginning")
        else:
            cfg.resume, cfg.load_from = True, path
    elif not args.overwrite:
        refuse_to_overwrite(cfg.work_dir)


def _use_amp(cfg: "Config") -> None:
    import torch

    if torch.cuda.is_available():
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
    else:
        cfg.optim_wrapper.type = "otcxr_mm.BFloat16OptimWrapper"


def _announce(runner: "Runner", args: argparse.Namespace) -> None:
    """Logs what is trained, where, and with which batch and learning rate."""
    batch, processes = runner.cfg.train_dataloader.get("batch_size") or 1, runner.world_size
    size = f"{batch} images x {processes} process" + (f"es = {batch * processes}" if processes > 1 else "")
    lr = ((runner.cfg.get("optim_wrapper") or {}).get("optimizer") or {}).get("lr")
    runner.logger.info(
        f"training {args.config}: batches of {size}, learning rate {lr}"
        f"{', to be scaled to the batch' if args.auto_scale_lr else ''}; "
        f"log: {os.path.relpath(runner.logger.log_file)}"
    )
    _warn_of_schedule(runner.cfg, runner.logger)


def _warn_of_schedule(cfg: "Config", logger: "MMLogger") -> None:
    """Warns if the last learning-rate schedule ends at another epoch or iteration than training does."""
    schedulers = cfg.get("param_scheduler") or [{}]
    unit = "epoch" if schedulers[-1].get("by_epoch", True) else "iteration"
    key = {"epoch": "max_epochs", "iteration": "max_iters"}[unit]
    end, length = schedulers[-1].get("end"), (cfg.get("train_cfg") or {}).get(key)
    if end and length and end != length:
        logger.warning(
            f"train_cfg.{key} is {length}, but the learning-rate schedule ends at {unit} {end}: also set "
            f"param_scheduler.{len(schedulers) - 1}.end={length}"
        )
