"""What a run was: described once, before it trains; kept in its manifest, its checkpoints and the record of a test."""

import hashlib
import os
import reprlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path, PurePath

import torch
from mmengine.runner import Runner

from ..datasets.inspection import ROLES, counts, leaves
from ..utils.checkpoints import is_address, locate
from ..utils.configs import config_text, leaf_specs
from ..utils.versions import versions

# key of the record in a checkpoint's meta, and in MMEngine's message hub during training
KEY = "provenance"
VERSION = 1
RANDOM_INIT = "random init"
# keys that name folders, or may
LOCAL = ("command", "config_text", "resumed")
COUNTED = ("images", "patients", "sha256")
# entries of a config that say how a run was started, not what it is
STARTED_WITH = ("experiment_name", "launcher", "load_from", "model_wrapper_cfg", "resume", "work_dir")


def describe(runner: Runner, datasets: Mapping[str, object] | None = None, resumed: Mapping | None = None) -> dict:
    """Describes a training in plain values.

    Args:
        runner: With its training loop built.
        datasets: Other data sets of the run by role, such as the test set.
        resumed: The record of the run that is resumed, which says what its backbone started from.

    Returns:
        The record. It names no patient, but `command` and `config_text` name folders.
    """
    cfg = {key: value for key, value in runner.cfg.to_dict().items() if key not in STARTED_WITH}
    source = backbone_source(runner.cfg)
    backbone = resumed["backbone"] if resumed else source and file_record(source, with_folder=True)
    text = config_text(cfg)
    share = next(leaf_specs(cfg["train_dataloader"]["dataset"]))  # of several training sets, the first
    built = {**(datasets or {}), "train": runner.train_dataloader.dataset}
    if runner.val_loop is not None:
        built["val"] = runner.val_loop.dataloader.dataset
    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "version": VERSION,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": list(sys.argv),
        "method": cfg.get("method") or method_of(backbone),
        "protocol": cfg.get("protocol") or "",
        "config": Path(runner.cfg.filename or "").stem,
        "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "config_text": text,
        "seed": runner.seed,
        "fraction": float(share.get("fraction", 1.0)),
        "draw": int(share.get("draw", 0)),
        "backbone": backbone,
        **{role: describe_data(built[role]) for role in ROLES if role in built},
        "batch_size": runner.train_dataloader.batch_size,
        "world_size": runner.world_size,
        "devices": cuda or [f"CPU, {torch.get_num_threads()} threads"],
        "versions": versions(),
        "git": git_commit(),
    }


def shareable_part(record: Mapping) -> dict:
    """The part of a record that names no folder, split or class; of the data, only the counts and the SHA-256."""
    kept = {key: value for key, value in record.items() if key not in LOCAL}
    return kept | {role: {key: kept[role][key] for key in COUNTED} for role in ROLES if role in kept}


def method_of(backbone: Mapping | None) -> str:
    """What a method is called if the config does not say: the folder of its backbone's file."""
    if backbone is None:
        return RANDOM_INIT
    path = PurePath(backbone["file"])
    return path.parent.name or path.stem


def backbone_source(cfg: Mapping) -> str | None:
    """The file, or address, that a training's backbone starts from; None for random weights."""
    hooks = (*(cfg.get("default_hooks") or {}).values(), *(cfg.get("custom_hooks") or ()))
    for hook in hooks:
        if isinstance(hook, Mapping) and str(hook.get("type")).split(".")[-1] == "LoadBackboneHook":
            return hook["checkpoint"]
    if cfg.get("load_from") and not cfg.get("resume"):
        return cfg["load_from"]
    init = ((cfg.get("model") or {}).get("backbone") or {}).get("init_cfg")
    for part in init if isinstance(init, (list, tuple)) else [init]:
        if isinstance(part, Mapping) and part.get("type") == "Pretrained":
            return part.get("checkpoint")
    return None


def file_record(source: str, with_folder: bool = False) -> dict[str, str | None]:
    """Name and SHA-256 of a file; the SHA-256 is None for an address or a file that is not there.

    Args:
        source: Path or address.
        with_folder: Whether the name includes the folder's, unless it is the home folder, whose name is private.
    """
    path = Path(source) if is_address(source) else locate(source)
    private = is_address(source) or path.parent == Path.home()
    name = f"{path.parent.name}/{path.name}" if with_folder and path.parent.name and not private else path.name
    return {"file": name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None}


def describe_data(dataset: object) -> dict:
    """Types, splits, images, patients and SHA-256 of a data set."""
    parts = list(leaves(dataset))
    return {
        "type": "+".join(sorted({type(part).__name__ for part in parts})),
        "split": "+".join(sorted({str(getattr(part, "split", "")) for part in parts})),
        **counts(dataset),
    }


def git_commit() -> str | None:
    """The commit of this package's checkout, with `-dirty` if tracked files were changed; None if it is installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None
    command = ["git", "-C", root, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    return subprocess.run(command, capture_output=True, text=True, env=env).stdout.strip() or None


def changes(before: Mapping, now: Mapping, prefix: str = "") -> Iterator[str]:
    """Names the entries that differ between two nested mappings, with both values in short."""
    for key in {**before, **now}:
        one, other = before.get(key), now.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from changes(one, other, f"{prefix}{key}.")
        elif one != other:
            yield f"{prefix}{key}: {reprlib.repr(one)} before, {reprlib.repr(other)} now"
