"""Records what a run was (config, data, versions, state of the code) in one file of its work dir."""

import difflib
import hashlib
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from ...datasets.inspection import ROLES, counts, leaves
from ...registry import HOOKS
from ...utils.configs import config_folder
from ...utils.files import write_whole
from ...utils.versions import versions

FILE = "manifest.json"
VERSION = 1
# entries that a resumed run should share with the run before
COMPARED = ("data", "batch_size", "world_size", "seed", "versions")
# entries of a config that say how a run was started, not what it is
STARTED_WITH = ("experiment_name", "launcher", "load_from", "model_wrapper_cfg", "resume", "work_dir")


@HOOKS.register_module()
class RunManifestHook(Hook):
    """Writes `WORK_DIR/manifest.json` before training and before a test, and a copy beside the log of this start.

    The manifest holds the whole config and its SHA-256, the data (images, patients, positives per class, and a SHA-256
    of the list of images and patients), versions, the git state of the config's folder and of this package, seed,
    processes, devices, command line and time. It is meant to stay on this machine: it holds paths, but no patient id.

    A new training run replaces the manifest; the copy stays in the folder of the log. A resumed run and a test are
    added to the list `starts`, with what has changed since, including the lines of the config. A change of config,
    data, seed or versions when a run is resumed is a warning. (:class:`otcxr_mm.AtomicCheckpointHook` refuses to resume
    with another number of images, batch size or number of processes.)

    The hook uses the data sets that the run or :class:`otcxr_mm.LeakAuditHook` has built: none is read twice.
    """

    # after the hooks that may end the run before it starts
    priority = "VERY_LOW"

    def __init__(self) -> None:
        self._datasets: dict[str, object] = {}

    def keep_datasets(self, datasets: Mapping[str, object]) -> None:
        """Keeps data sets that were built for another purpose until the file is written."""
        self._datasets = dict(datasets)

    def _describe(self, runner: Runner) -> dict:
        datasets, self._datasets = self._datasets, {}
        return describe(runner, datasets)

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Writes the file, or adds to it if the run is resumed."""
        now = self._describe(runner)
        before = _manifest_before(runner) if runner._resume else None
        start = {"kind": "train", "time": now["time"], "epoch": runner.epoch, "iteration": runner.iter}
        self._write(runner, now, before, start)

    @master_only
    def before_test(self, runner: Runner) -> None:
        """Adds a test to the file of the training in the same work dir, or writes one."""
        now = self._describe(runner)
        before = read_manifest(runner.work_dir)
        checkpoint = os.path.basename(runner._load_from) if runner._load_from else None
        self._write(runner, now, before, {"kind": "test", "time": now["time"], "checkpoint": checkpoint})

    @staticmethod
    def _write(runner: Runner, now: dict, before: dict | None, start: dict) -> None:
        manifest = now
        if before is not None:
            changed = differences(before, now) | _config_lines(before, now)
            if start["kind"] == "train":
                for line in explain(changed):
                    runner.logger.warning(f"resumed with different {line}")
            manifest = {**before, "data": {**now["data"], **before.get("data", {})}}
            start |= {"config_sha256": now["config"]["sha256"], "command": now["command"], "changed": changed}
        starts = manifest.get("starts")
        manifest["starts"] = [*(starts if isinstance(starts, list) else []), start]
        for folder in (runner.log_dir, runner.work_dir):
            write_manifest(folder, manifest)


def write_manifest(folder: str | os.PathLike, manifest: Mapping) -> None:
    """Writes a manifest into a folder atomically."""
    write_whole(Path(folder) / FILE, (json.dumps(manifest, indent=2) + "\n").encode())


def read_manifest(folder: str | os.PathLike) -> dict | None:
    """The manifest of a work dir; None if there is none, or, with a warning, if it cannot be read."""
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_bytes())
        if not isinstance(manifest, dict) or not isinstance(manifest.get("data", {}), dict):
            raise ValueError("not the manifest of a run")
    except (ValueError, OSError) as error:
        print_log(f"{path} cannot be read and will be replaced: {error}", "current", logging.WARNING)
        return None
    return manifest


def _manifest_before(runner: Runner) -> dict | None:
    """The manifest of the run whose checkpoint is resumed, or else that of the work dir."""
    folders = [runner.work_dir]
    if runner._load_from and "://" not in runner._load_from:
        folders.insert(0, os.path.dirname(os.path.abspath(runner._load_from)))
    return next((found for found in map(read_manifest, dict.fromkeys(folders)) if found is not None), None)


def describe(runner: Runner, datasets: Mapping[str, object] | None = None) -> dict:
    """Describes a run in plain values.

    Args:
        runner: A runner that trains or tests, so that its own data sets are built.
        datasets: Other data sets of the run by role, such as the test set during training.

    Returns:
        The manifest without `starts`.
    """
    # not the message hub's config, which in a resumed run is the checkpoint's
    own = {key: value for key, value in runner.cfg.to_dict().items() if key not in STARTED_WITH}
    text = Config(own).pretty_text
    loader = runner.cfg.get("train_dataloader") or runner.cfg.get("test_dataloader") or {}
    return {
        "version": VERSION,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "config": {
            "file": os.path.basename(runner.cfg.filename or ""),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "text": text,
        },
        "data": {role: describe_data(dataset) for role, dataset in _all_datasets(runner, datasets or {}).items()},
        "versions": all_versions(),
        "git": {"config": _git_state_of(runner.cfg.filename), "otcxr_mm": _own_git_state()},
        "seed": runner.seed,
        "batch_size": loader.get("batch_size"),
        "world_size": runner.world_size,
        "devices": devices(),
        "command": list(sys.argv),
    }


def _all_datasets(runner: Runner, others: Mapping[str, object]) -> dict[str, object]:
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
    classes: dict[str, list[int]] = {}
    for part in parts:
        labels = getattr(getattr(part, "records", None), "labels", None)
        if labels is None:
            continue
        columns = zip((labels == 1).sum(0).tolist(), np.isfinite(labels).sum(0).tolist(), strict=True)
        names = (getattr(part, "metainfo", None) or {}).get("classes") or range(labels.shape[1])
        for name, column in zip(names, columns, strict=True):
            total = classes.setdefault(str(name), [0, 0])
            classes[str(name)] = [total[0] + column[0], total[1] + column[1]]
    return {
        "type": "+".join(sorted({type(part).__name__ for part in parts})),
        "split": "+".join(sorted({str(getattr(part, "split", "")) for part in parts})),
        **counts(dataset),
        "positives": {name: positive for name, (positive, _) in classes.items()},
        "known": {name: known for name, (_, known) in classes.items()},
    }


def all_versions() -> dict[str, str | None]:
    """Versions of Python, of the libraries that determine what a run computes, and of CUDA."""
    others = {name: getattr(sys.modules.get(name), "__version__", None) for name in ("mmcv", "mmseg", "cv2")}
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        **versions(),
        **{name: version for name, version in others.items() if version is not None},
        "cuda": torch.version.cuda,
        "cudnn": str(torch.backends.cudnn.version()) if torch.cuda.is_available() else None,
    }


def devices() -> list[str]:
    """Names of the devices that this process sees."""
    if torch.cuda.is_available():
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return [f"CPU, {torch.get_num_threads()} threads"]


def git_state(folder: str | os.PathLike | None) -> dict | None:
    """Commit of the checkout that contains a folder, and whether its tracked files have been changed.

    Returns:
        None outside a checkout, or without git.
    """
    if folder is None:
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git_state_of(config: str | None) -> dict | None:
    """The git state of a config's folder; for a config of this package, that of the package."""
    if not config:
        return None
    path = Path(config).resolve()
    return _own_git_state() if config_folder() in path.parents else git_state(path.parent)


def _own_git_state() -> dict | None:
    """The git state of this package; None if it is installed, even inside another checkout."""
    package = Path(__file__).resolve().parents[2]
    return git_state(package) if _git(package, "ls-files", "--error-unmatch", "version.py") else None


def _git(folder: str | os.PathLike, *command: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", os.fspath(folder), *command],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def differences(before: Mapping, now: Mapping) -> dict[str, list]:
    """Entries that a run and its continuation should share, but that differ between two manifests.

    Args:
        before: Manifest of the earlier run.
        now: Manifest of the resumed run.

    Returns:
        The values [before, now] by name, such as ``versions.torch`` or ``data.train``. An entry that only one of them
        has is not a difference.
    """
    changed = {}
    for key in COMPARED:
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            pairs = {f"{key}.{name}": (old[name], new[name]) for name in old if name in new}
        else:
            pairs = {key: (old, new)}
        for name, (one, other) in pairs.items():
            if key == "data":
                one, other = (_identity(value) for value in (one, other))
            if one is not None and other is not None and one != other:
                changed[name] = [one, other]
    return changed


def _config_lines(before: Mapping, now: Mapping) -> dict[str, list]:
    """The lines that only the earlier config has, and those that only the current one has."""
    texts = [(manifest.get("config") or {}).get("text") or "" for manifest in (before, now)]
    lines = list(difflib.ndiff(*(text.splitlines() for text in texts))) if texts[0] != texts[1] else []
    gone, new = ([line[2:].strip() for line in lines if line.startswith(sign)] for sign in "-+")
    return {"config": [gone, new]} if lines else {}


def _identity(data: object) -> dict | None:
    """What identifies a data set: the list of images, or else their number."""
    if not isinstance(data, Mapping):
        return None
    return {key: data.get(key) for key in ("images", "patients", "sha256", "positives")}


def explain(changed: Mapping[str, list]) -> list[str]:
    """One line per difference."""
    lines = []
    for name, (one, other) in changed.items():
        if name.startswith("data."):
            then, today = (f"{d['images']} images of {d['patients'] or 'unknown'} patients" for d in (one, other))
            what = "" if one["sha256"] != other["sha256"] else ", with other labels"
            lines.append(f"data ({name.removeprefix('data.')}): {then} before, {today} now{what}")
        elif name == "config":
            parts = ([line.removesuffix(",") for line in part] for part in (one, other))
            then, today = ("; ".join(part[:3]) + ("; ..." if len(part) > 3 else "") for part in parts)
            lines.append(f"config: {then or 'nothing'} before, {today or 'nothing'} now")
        else:
            lines.append(f"{name.replace('versions.', '').replace('_', ' ')}: {one} before, {other} now")
    return lines
