"""Reads a config and merges the command line into it."""

import argparse
import glob
import io
import os
import warnings
from contextlib import redirect_stdout, suppress
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from .console import is_shown

if TYPE_CHECKING:
    from mmengine.config import Config


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that :func:`load_config` needs: a config and `--cfg-options`."""
    parser.add_argument("config", help="config file, or the name of a config that comes with the package")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        metavar="KEY=VALUE",
        help="settings that override the config's, such as train_dataloader.batch_size=32 or scale=(0.1,1)",
    )


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


def load_config(args: argparse.Namespace, check: bool = True) -> "Config":
    """Reads the config and merges the options of the command line.

    Args:
        args: With `config` and `cfg_options`, and optionally the other arguments of :func:`add_run_arguments`. `config`
            becomes the path of the file.
        check: Whether to look for keys of the file that nothing reads.
    """
    # waiting threads must not spin: on a shared machine, spinning made training on a CPU up to ten times slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # a broken image is named by this package
    # mmcv-lite has no compiled operators, and none is used
    warnings.filterwarnings("ignore", message="Fail to import")
    os.environ.setdefault("LOCAL_RANK", str(getattr(args, "local_rank", 0)))
    args.config = _find(args.config)
    cfg = _read(args.config, getattr(args, "verbose", False))

    from .config_keys import KNOWN, check_file, overridden

    if check:
        check_file(args.config, cfg)
    options = parse_options(args.cfg_options or [], {*cfg, *KNOWN})
    for key, value in options.items():
        if "." not in key and key not in KNOWN and (problem := overridden(cfg, key, value, key in cfg)):
            raise SystemExit(f"--cfg-options {key}=...: {problem}")
    cfg.merge_from_dict(options)
    cfg.launcher = getattr(args, "launcher", "none")
    name = os.path.splitext(os.path.basename(args.config))[0]
    cfg.work_dir = getattr(args, "work_dir", None) or cfg.get("work_dir") or os.path.join("work_dirs", name)
    return cfg


def import_datasets(cfg: "Config") -> None:
    """Imports the data sets of a config's scope, without what they print about missing optional packages."""
    for scope in ("mmpretrain", cfg.get("default_scope")):
        with redirect_stdout(io.StringIO()), suppress(ImportError):
            import_module(f"{scope}.datasets")


def _find(config: str) -> str:
    """A config file, or else the config of this package with that name."""
    if os.path.isfile(config):
        return config
    from ..utils.configs import find_config

    try:
        return str(find_config(config))
    except FileNotFoundError as error:
        near = get_close_matches(config, glob.glob(os.path.join(glob.escape(os.path.dirname(config)), "*.py")), 1)
        hint = f"did you mean {near[0]}?" if near else str(error).removeprefix(f"{config}: ")
        raise SystemExit(f"{config}: no such config: {hint}") from None


def _read(path: str, verbose: bool) -> "Config":
    from mmengine.config import Config
    from mmengine.logging import MMLogger

    import otcxr_mm.utils.patches  # noqa: F401  knows bases that are named otcxr_mm::X.py

    if not verbose:
        MMLogger.get_current_instance().handlers[0].addFilter(is_shown)
    try:
        return Config.fromfile(path)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise SystemExit(f"{path}: this config cannot be read: {error}") from None


def parse_options(options: list[str], known: set[str]) -> dict:
    """Parses `KEY=VALUE ...` as MMEngine does, but keeps spaces, which MMEngine removes from paths.

    Args:
        options: The arguments of `--cfg-options`.
        known: Possible first parts of a key.

    Returns:
        Dotted keys, mapped to values.

    Raises:
        SystemExit: For an option without a value, or if a known first part is misspelt.
    """
    from mmengine.config import DictAction

    parsed = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise SystemExit(f"--cfg-options {option}: KEY=VALUE expected")
        first = key.split(".")[0]
        near = get_close_matches(first, known, n=1, cutoff=0.8)
        if near and first not in known:
            raise SystemExit(f"--cfg-options {option}: did you mean {near[0]}?")
        is_text = " " in value.strip() and value.strip()[0] not in "[({"
        parsed[key] = value.strip().strip("'\"") if is_text else DictAction._parse_iterable(value)
    return parsed
