"""The commands `otcxr train` and `otcxr test`."""

import argparse
import io
import os
from contextlib import redirect_stdout, suppress
from importlib import import_module
from typing import TYPE_CHECKING

from .config_file import add_config_arguments, load_config
from .console import ArgumentParser, command
from .work_dir import (
    best_checkpoint,
    check_writable,
    config_of,
    latest_checkpoint,
    refuse_to_overwrite,
    remove_run,
)

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.logging import MMLogger
    from mmengine.runner import Runner


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--work-dir", metavar="DIR", help="folder for logs and checkpoints; default: work_dirs/CONFIG")
    parser.add_argument("--amp", action="store_true", help="mixed precision: float16 on a GPU, bfloat16 on a CPU")
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="what started the processes (pytorch: torchrun, on GPUs or CPUs)",
    )
    # torch.distributed.launch passes this argument; torchrun sets an environment variable instead
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def start_processes(cfg: "Config") -> None:
    """Joins the process group over gloo if there is no GPU; MMEngine's own launchers need one."""
    import torch

    if cfg.launcher == "none" or torch.cuda.is_available():
        return
    if cfg.launcher != "pytorch":
        raise SystemExit(
            f"--launcher {cfg.launcher} needs a GPU for every process; on CPUs, use torchrun with --launcher pytorch"
        )
    if "RANK" not in os.environ:
        raise SystemExit(
            "--launcher pytorch is for processes that torchrun started: "
            "torchrun --standalone --nproc_per_node=2 -m otcxr_mm train CONFIG --launcher pytorch"
        )
    if "SyncBN" in str(cfg._cfg_dict):
        raise SystemExit("SyncBN works on GPUs only: keep model.backbone.norm_cfg.type=BN on CPUs")
    torch.distributed.init_process_group("gloo")
    wrapper = {
        "type": "MMDistributedDataParallel",
        "broadcast_buffers": False,
        **(cfg.get("model_wrapper_cfg") or {}),
    }
    wrapper.setdefault("find_unused_parameters", cfg.get("find_unused_parameters", False))
    cfg.model_wrapper_cfg = {**wrapper, "device_ids": None}


def leave_processes() -> None:
    """Leaves the process group; otherwise torch may abort a finished process at exit."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def build_runner(cfg: "Config", verbose: bool = True) -> "Runner":
    """Builds the runner of a config.

    Args:
        cfg: The whole config.
        verbose: Whether the terminal shows everything that MMEngine logs; with the config's own `runner_type` it does.
    """
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    if "runner_type" in cfg:
        return RUNNERS.build(cfg)
    if verbose:
        return Runner.from_cfg(cfg)
    for scope in ("mmpretrain", cfg.get("default_scope")):
        with redirect_stdout(io.StringIO()), suppress(ImportError):  # they print which optional packages are missing
            import_module(f"{scope}.datasets")
    from ..engine.runner.quiet import QuietRunner

    return QuietRunner.from_cfg(cfg)


def _use_amp(cfg: "Config") -> None:
    import torch

    if torch.cuda.is_available():
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
    else:
        cfg.optim_wrapper.type = "otcxr_mm.BFloat16OptimWrapper"


def _warn_of_schedule(cfg: "Config", logger: "MMLogger") -> None:
    """Warns if the learning rate is scheduled for another number of epochs or iterations than training has."""
    schedulers = cfg.get("param_scheduler") or []
    for by_epoch, key, unit in ((True, "max_epochs", "epoch"), (False, "max_iters", "iteration")):
        own = [s for s in schedulers if isinstance(s, dict) and s.get("by_epoch", True) == by_epoch]
        ends = [s.get("end") for s in own if s.get("end")]
        length = (cfg.get("train_cfg") or {}).get(key)
        if ends and length and max(ends) != length:
            logger.warning(
                f"train_cfg.{key} is {length}, but the learning-rate schedule ends at {unit} {max(ends)}: also set "
                f"param_scheduler.{len(schedulers) - 1}.end={length}"
            )


def _train_parser() -> ArgumentParser:
    parser = ArgumentParser(description="Train the model of a config")
    _add_run_arguments(parser)
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
        help="only run a few iterations, and report how long training takes and whether memory and disk suffice",
    )
    parser.add_argument(
        "--estimate-out", metavar="FILE.json", help="like --estimate, but also write the figures to a file"
    )
    return parser


@command
def train(argv: list[str] | None = None) -> None:
    """The command `otcxr train`, `tools/train.py`.

    Args:
        argv: Arguments; default those of the process.
    """
    args = _train_parser().parse_args(argv)
    args.estimate = args.estimate or args.estimate_out is not None
    if args.estimate and args.resume:
        raise SystemExit("--estimate measures a whole training run: leave out --resume")
    if args.overwrite and args.resume:
        raise SystemExit("--overwrite starts over, --resume continues: choose one of them")
    cfg = load_config(args)
    if cfg.get("train_dataloader") is None:
        raise SystemExit(
            f"{args.config} has no train_dataloader: it is a base for other configs, or a config for testing"
        )
    _apply_train_arguments(cfg, args)
    start_processes(cfg)
    if args.estimate:
        from .estimate import estimate

        fits = estimate(cfg, args.estimate_out)
        leave_processes()
        raise SystemExit(not fits)
    runner = build_runner(cfg, args.verbose)
    _announce(runner, args)
    try:
        runner.train()
    except RuntimeError:
        asked = [getattr(hook, "asked_to_end", None) for hook in runner.hooks]
        if runner.rank and any(asked):  # the main process has saved and exited; this one was asked to end as well
            raise SystemExit(128 + next(filter(None, asked))) from None
        raise
    leave_processes()


def _apply_train_arguments(cfg: "Config", args: argparse.Namespace) -> None:
    """Applies the arguments of `otcxr train` to the config, and checks the work dir."""
    if args.amp:
        _use_amp(cfg)
    if args.auto_scale_lr:
        if not (cfg.get("auto_scale_lr") or {}).get("base_batch_size"):
            raise SystemExit(f"--auto-scale-lr: {args.config} has no auto_scale_lr = dict(base_batch_size=...)")
        cfg.auto_scale_lr.enable = True
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if cfg.get(name) and not cfg[name].get("num_workers"):
            cfg[name].persistent_workers = False  # torch refuses it without workers
    if args.resume:
        path = latest_checkpoint(cfg.work_dir) if args.resume == "auto" else args.resume
        if path is None:
            print(f"--resume: no checkpoint in {cfg.work_dir} yet, training starts from the beginning")
        elif not os.path.isfile(path):
            raise SystemExit(f"--resume {path}: no such checkpoint")
        else:
            cfg.resume, cfg.load_from = True, path
    elif not args.estimate and not args.overwrite:
        refuse_to_overwrite(cfg.work_dir)
    if not args.estimate:
        check_writable(cfg.work_dir)


def _announce(runner: "Runner", args: argparse.Namespace) -> None:
    """Logs what is trained, where, and with which batch and learning rate."""
    if args.overwrite and runner.rank == 0:
        remove_run(runner.work_dir)
    batch, processes = runner.cfg.train_dataloader.get("batch_size") or 1, runner.world_size
    size = f"{batch} images x {processes} process" + (f"es = {batch * processes}" if processes > 1 else "")
    lr = ((runner.cfg.get("optim_wrapper") or {}).get("optimizer") or {}).get("lr")
    runner.logger.info(
        f"training {args.config}: batches of {size}, learning rate {lr}"
        f"{', to be scaled to the batch' if args.auto_scale_lr else ''}; "
        f"log: {os.path.relpath(runner.logger.log_file)}",
        extra={"at_once": True},
    )
    _warn_of_schedule(runner.cfg, runner.logger)


@command
def test(argv: list[str] | None = None) -> None:
    """The command `otcxr test`, `tools/test.py`.

    Args:
        argv: Arguments; default those of the process.
    """
    parser = ArgumentParser(description="Test a checkpoint. CONFIG may also be the work dir of a run.")
    _add_run_arguments(parser)
    parser.add_argument(
        "checkpoint",
        nargs="?",
        help="checkpoint file; default: the best one in the work dir, or else the last one",
    )
    parser.add_argument("--out", metavar="FILE.json", help="file to write the metrics to")
    args = parser.parse_args(argv)
    of_run = args.config if os.path.isdir(args.config) else None
    if of_run:
        args.work_dir = args.work_dir or of_run
        args.config = config_of(of_run)
    if args.checkpoint is not None and not os.path.isfile(args.checkpoint):
        raise SystemExit(f"{args.checkpoint}: no such checkpoint")
    cfg = load_config(args, check=not of_run)
    folder = of_run or cfg.work_dir
    checkpoint = args.checkpoint or best_checkpoint(folder)
    if checkpoint is None:
        raise SystemExit(f"{folder} has no checkpoint: run otcxr train first, or name one")
    if cfg.get("test_dataloader") is None:
        raise SystemExit(
            f"{args.config} has no test_dataloader: pre-training has nothing to test. "
            "Test the config of a classifier or a segmentation model"
        )
    check_writable(cfg.work_dir)
    if args.amp:
        cfg.test_cfg.fp16 = True
    cfg.load_from, cfg.resume = checkpoint, False
    start_processes(cfg)
    runner = build_runner(cfg, args.verbose)
    log = os.path.relpath(runner.logger.log_file)
    runner.logger.info(f"testing {checkpoint} with {args.config}; log: {log}", extra={"at_once": True})
    from ..engine.hooks import ConsistencyHook

    if not any(isinstance(hook, ConsistencyHook) for hook in runner.hooks):
        runner.register_hook(ConsistencyHook())
    metrics = runner.test()
    if args.out and runner.rank == 0:
        import json

        from ..engine.hooks.results import plain

        with open(args.out, "w") as stream:
            json.dump(plain(metrics), stream, indent=2, allow_nan=False)
    leave_processes()
