"""What a run was: described once, before it trains; kept in its manifest, its checkpoints and the record of a test."""

import hashlib
import os
import reprlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path, PurePath

import numpy as np
import torch
from mmengine.runner import BaseLoop, Runner

from ..datasets.inspection import ROLES, counts, leaves
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
    """Describes a run in plain values.

    Args:
        runner: With its training loop built; with only its test loop built, the training that its config describes.
        datasets: Other data sets of the run by role, such as the test set during training.
        resumed: The record of the run that is resumed, which says what its backbone started from.

    Returns:
        The record. It names no patient, but `command` and `config_text` name folders.
    """
    training = isinstance(runner._train_loop, BaseLoop)
    # without load_from, which for a test is the tested checkpoint
    cfg = {key: value for key, value in runner.cfg.to_dict().items() if key not in STARTED_WITH}
    source = backbone_source(runner.cfg if training else cfg)
    backbone = file_record(source, with_folder=True) if source is not None else None
    if resumed:
        backbone = resumed["backbone"]
    text = config_text(cfg)
    spec = (cfg.get("train_dataloader") or {}).get("dataset") or {}
    shares = [(leaf.get("fraction", 1.0), leaf.get("draw", 0)) for leaf in leaf_specs(spec)]
    if len(set(shares)) > 1:
        runner.logger.warning(f"the training sets differ in fraction and draw, {shares}: recording the first")
    file = runner.cfg.filename
    return {
        "version": VERSION,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": list(sys.argv),
        "method": cfg.get("method") or method_of(backbone),
        "protocol": cfg.get("protocol") or "",
        "config": Path(file).stem if file else "",
        "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "config_text": text,
        "seed": runner.seed if training else (cfg.get("randomness") or {}).get("seed"),
        "fraction": float(shares[0][0]),
        "draw": int(shares[0][1]),
        "backbone": backbone,
        **{role: describe_data(dataset) for role, dataset in _built(runner, datasets or {}).items()},
        "batch_size": runner.train_dataloader.batch_size if training else None,
        "world_size": runner.world_size,
        "devices": devices(),
        "versions": versions(),
        "git": {"config": git_state(file), "otcxr_mm": git_state(Path(__file__))},
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
        with_folder: Whether the name includes the folder's, unless it is a home folder, whose name is private.
    """
    path = Path(source).expanduser()
    folder = path.parent
    private = "://" in source or folder == Path.home() or folder.parent in (Path("/home"), Path("/Users"))
    name = f"{folder.name}/{path.name}" if with_folder and folder.name and not private else path.name
    return {"file": name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None}


def _built(runner: Runner, others: Mapping[str, object]) -> dict[str, object]:
    """The data sets that are already built, by role."""
    found = dict(others)
    for role in ROLES:
        loader = getattr(getattr(runner, f"_{role}_loop", None), "dataloader", None)
        if getattr(loader, "dataset", None) is not None:
            found[role] = loader.dataset
    return {role: found[role] for role in ROLES if role in found}


def describe_data(dataset: object) -> dict:
    """Images, patients and SHA-256 of a data set, and the positives and known labels of each class."""
    parts = list(leaves(dataset))
    positives: dict[str, int] = {}
    known: dict[str, int] = {}
    for part in parts:
        labels = getattr(getattr(part, "records", None), "labels", None)
        if labels is None:
            continue
        names = (getattr(part, "metainfo", None) or {}).get("classes") or range(labels.shape[1])
        for name, column in zip(map(str, names), labels.T, strict=True):
            positives[name] = positives.get(name, 0) + int((column == 1).sum())
            known[name] = known.get(name, 0) + int(np.isfinite(column).sum())
    return {
        "type": "+".join(sorted({type(part).__name__ for part in parts})),
        "split": "+".join(sorted({str(getattr(part, "split", "")) for part in parts})),
        **counts(dataset),
        "positives": positives,
        "known": known,
    }


def devices() -> list[str]:
    """Names of the devices that this process sees."""
    if torch.cuda.is_available():
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return [f"CPU, {torch.get_num_threads()} threads"]


def git_state(file: str | os.PathLike | None) -> str | None:
    """The commit of a file's checkout, with `-dirty` if tracked files were changed.

    Returns:
        None without git, or for a file that is not tracked, such as one of an installed package.
    """
    if not file:
        return None
    path = Path(file).resolve()
    describe_commit = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        for command in (("ls-files", "--error-unmatch", path.name), describe_commit):
            done = subprocess.run(
                ["git", "-C", path.parent, *command],
                capture_output=True,
                text=True,
                timeout=5,
                check=True,
                env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def changes(before: Mapping, now: Mapping, prefix: str = "") -> Iterator[str]:
    """Names the entries that differ between two nested mappings, with both values in short."""
    for key in {**before, **now}:
        one, other = before.get(key), now.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from changes(one, other, f"{prefix}{key}.")
        elif one != other:
            yield f"{prefix}{key}: {reprlib.repr(one)} before, {reprlib.repr(other)} now"
