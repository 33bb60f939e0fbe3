"""Reads a config and merges the command line into it."""

import argparse
import glob
import os
import sys
import warnings
from difflib import get_close_matches
from typing import TYPE_CHECKING

from .console import Terminal

if TYPE_CHECKING:
    from mmengine.config import Config


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that :func:`load_config` needs: a config, `--cfg-options`, and `--verbose`."""
    parser.add_argument("config", help="config file, or the name of a config that comes with the package")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        metavar="KEY=VALUE",
        help="settings that override the config's, such as train_dataloader.batch_size=32 or scale=(0.1,1)",
    )
    parser.add_argument("--verbose", action="store_true", help="show all messages, and the traceback of an error")
    parser.set_defaults(work_dir=None, launcher="none", local_rank=0)


def load_config(args: argparse.Namespace, check: bool = True) -> "Config":
    """Reads the config and merges the options of the command line.

    Args:
        args: With `config`, `cfg_options`, `work_dir`, `launcher` and `local_rank`.
        check: Whether to look for keys of the file that nothing reads.
    """
    # waiting threads must not spin: on a shared machine, spinning made training on a CPU up to ten times slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # a broken image is named by this package
    from .config_keys import check_file, known_keys, unread

    # mmcv-lite has no compiled operators, and none is used
    warnings.filterwarnings("ignore", message="Fail to import")
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    # checkpoints are loaded without running code in them
    os.environ.setdefault("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
    args.config = _find(args.config)
    cfg = _read(args.config, getattr(args, "verbose", False))
    for warning in check_file(args.config, cfg._cfg_dict) if check else ():
        print(f"warning: {warning}", file=sys.stderr)
    options = parse_options(args.cfg_options or [], set(cfg))
    for key, value in options.items():
        if "." not in key and key not in known_keys() and (problem := unread(cfg._cfg_dict, key, value)):
            raise SystemExit(f"--cfg-options {key}=...: {problem}")
    cfg.merge_from_dict(options)
    cfg.launcher = args.launcher
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = os.path.join("work_dirs", os.path.splitext(os.path.basename(args.config))[0])
    return cfg


def _find(config: str) -> str:
    """A config file, or else the config of this package with that name."""
    if os.path.isfile(config):
        return config
    from ..utils.configs import find_config

    try:
        return str(find_config(config))
    except FileNotFoundError as error:
        near = get_close_matches(config, glob.glob(os.path.join(glob.escape(os.path.dirname(config)), "*.py")), 1)
        hint = f"did you mean {near[0]}?" if near else str(error)
        raise SystemExit(f"{config}: no such config: {hint}") from None


def _read(path: str, verbose: bool) -> "Config":
    from mmengine.config import Config
    from mmengine.logging import MMLogger

    import otcxr_mm.utils.patches  # noqa: F401  knows bases that are named otcxr_mm::X.py

    if not verbose:
        MMLogger.get_current_instance().handlers[0].addFilter(Terminal.is_shown)
    try:
        return Config.fromfile(path)
    except SyntaxError as error:
        at = f", line {error.lineno}" if error.lineno else ""
        raise SystemExit(f"{path}{at}: this config cannot be read: {error.msg}") from None
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise SystemExit(f"{path}: this config cannot be read: {error}") from None
    except KeyError as error:
        name = str(error).split("`")[1] if "os.environ" in str(error) else None
        if name is None:
            raise
        raise SystemExit(f"{path}: needs the environment variable {name}: export {name}=...") from None


def parse_options(options: list[str], keys: set[str]) -> dict:
    """Parses `KEY=VALUE ...` as MMEngine does, but keeps spaces, which MMEngine removes from paths.

    Args:
        options: The arguments of `--cfg-options`.
        keys: Keys of the config, to detect a misspelt first part of a key.

    Returns:
        Dotted keys, mapped to values.
    """
    from inspect import signature

    from mmengine.config import DictAction
    from mmengine.runner import Runner

    known = keys | set(signature(Runner.__init__).parameters)
    literal, rest = {}, []
    for option in options:
        key, equals, value = option.partition("=")
        first = key.split(".")[0]
        near = get_close_matches(first, known, n=1, cutoff=0.8)
        if not equals or (first not in known and near):
            raise SystemExit(
                f"--cfg-options {option}: " + (f"did you mean {near[0]}?" if equals else "KEY=VALUE expected")
            )
        if " " in value.strip() and value.strip()[0] not in "[({":
            literal[key] = value.strip().strip("'\"")
        else:
            rest.append(option)
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, default={})
    parsed = parser.parse_args(["--cfg-options", *rest] if rest else []).cfg_options
    return {**parsed, **literal}
