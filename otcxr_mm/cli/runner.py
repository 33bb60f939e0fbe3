"""The runner and the process group of `otcxr train` and `otcxr test`."""

import logging
import os
from datetime import timedelta

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .config_file import import_datasets
from .console import is_shown


class _QuietRunner(Runner):
    """MMEngine's runner, but the terminal shows a few lines; the log file holds all that MMEngine's own shows."""

    def build_logger(self, *args: object, **kwargs: object) -> logging.Logger:
        """The logger, with a filter on its terminal."""
        logger = super().build_logger(*args, **kwargs)
        logger.handlers[0].addFilter(is_shown)
        return logger


def build_runner(cfg: Config, verbose: bool = True) -> Runner:
    """Builds the runner of a config.

    Args:
        cfg: The whole config.
        verbose: Whether the terminal shows everything that MMEngine logs; with the config's own `runner_type` it does.
    """
    if "DeepSpeed" in str((cfg.get("strategy") or {}).get("type")):
        raise SystemExit(
            "DeepSpeedStrategy: its checkpoints hold pickled objects, which are not loaded, and it calls no hook that "
            "makes them safe; FSDP splits the same states: add the base otcxr_mm::_base_/strategies/fsdp.py"
        )
    if "runner_type" in cfg:
        return RUNNERS.build(cfg)
    if verbose:
        return Runner.from_cfg(cfg)
    import_datasets(cfg)
    return _QuietRunner.from_cfg(cfg)


def start_processes(cfg: Config) -> None:
    """Joins the process group over gloo if there is no GPU; MMEngine's own launchers need one."""
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
    seconds = ((cfg.get("env_cfg") or {}).get("dist_cfg") or {}).get("timeout")
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=seconds) if seconds else None)
    defaults = {
        "type": "MMDistributedDataParallel",
        "broadcast_buffers": False,
        "find_unused_parameters": cfg.get("find_unused_parameters", False),
    }
    cfg.model_wrapper_cfg = {**defaults, **(cfg.get("model_wrapper_cfg") or {}), "device_ids": None}


def leave_processes() -> None:
    """Leaves the process group; otherwise torch may abort a finished process at exit."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
