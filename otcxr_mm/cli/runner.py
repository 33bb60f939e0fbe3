"""What `otcxr train` and `otcxr test` share: their arguments, the runner and the process group."""

import argparse
import io
import os
from contextlib import redirect_stdout, suppress
from importlib import import_module
from typing import TYPE_CHECKING

from .config_file import add_config_arguments

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that training and testing share."""
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
    from .quiet import QuietRunner

    return QuietRunner.from_cfg(cfg)
