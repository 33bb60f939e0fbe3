"""A run as its work dir tells it: one start or several, finished or not."""

import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..utils.locks import is_held
from .runs import Run, read_run
from .start import Start, find_starts, read_json, read_start

RESULTS = "results.json"
# the classifiers of evaluations without iterations, written at their end
_FITTED = ("linear.pth", "knn.pth")


@dataclass
class Training:
    """A run.

    Attributes:
        name: The end of its folder's path, as much of it as tells it from others.
        folder: Its work dir.
        starts: Its starts in the order of time, from the last one that did not resume another.
        manifest: That of the last training, from :class:`otcxr_mm.RunManifestHook`; empty without it.
        config: Settings of the last training; empty if they cannot be read.
        state: How it stands, in a few words.
        scalars: Values by name and iteration. What a resumed run repeated replaces what it had done before.
        pictures: Files by name and step.
        warnings: Messages of the logs, and how often they were logged.
        tested: The record of its test; None without one.
    """

    name: str
    folder: Path
    starts: list[Start]
    manifest: dict
    config: dict
    state: str
    scalars: dict[str, dict[int, float]]
    pictures: dict[str, dict[int, Path]]
    warnings: Counter[str]
    tested: Run | None


def read_trainings(folders: Sequence[str | os.PathLike]) -> list[Training]:
    """Reads runs.

    Args:
        folders: Work dirs.

    Raises:
        FileNotFoundError: If a folder is not there, or is not a work dir.
        ValueError: If a folder is named twice, or its record of a test is damaged.
    """
    paths = [Path(os.path.abspath(folder)) for folder in folders]
    for path, count in Counter(path.resolve() for path in paths).items():
        if count > 1:
            raise ValueError(f"{path} is named {count} times: name each run once")
    return [_read(path, given, name) for path, given, name in zip(paths, folders, _names(paths), strict=True)]


def _names(paths: Sequence[Path]) -> list[str]:
    """The last parts of each path, as few of them as tell all apart."""
    for count in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return names


def _read(path: Path, given: str | os.PathLike, name: str) -> Training:
    if not path.is_dir():
        raise FileNotFoundError(f"{given}: no such folder")
    starts = [read_start(folder) for folder in find_starts(path)]
    manifest, results = read_json(path / "manifest.json"), path / RESULTS
    if (path / "vis_data").is_dir() or not (starts or manifest or results.is_file()):
        raise FileNotFoundError(_no_run(path, given))
    trained = [start for start in starts if start.trained]
    tested = [start for start in starts if not start.trained] if trained or results.is_file() else []
    trained = _last_attempt(trained or [start for start in starts if start not in tested])
    last = trained[-1] if trained else None
    config = next((start.config for start in reversed([*tested, *trained]) if start.config), {})
    warnings = sum((start.log.warnings for start in [*trained, *tested]), Counter())
    for start in trained:
        if start.damaged:
            warnings[f"{start.damaged} lines of the curves were damaged and are left out"] += 1
    for kind, ended in (("training", last), ("test", tested[-1] if tested else None)):
        if ended and ended.log.error:
            warnings[f"The last {kind} ended by an error: {ended.log.error}"] += 1
    return Training(
        name=name,
        folder=path,
        starts=trained or tested,
        manifest=manifest or (last.manifest if last else {}),
        config=config,
        state=_state(path, last, config),
        scalars=_merged(trained),
        pictures=_all_pictures(trained),
        warnings=warnings,
        tested=read_run(results) if results.is_file() else None,
    )


def _no_run(path: Path, given: str | os.PathLike) -> str:
    """Why a folder is not a work dir, and which is meant."""
    text = f"{given}: not a work dir: it has no log, no curves and no manifest.json"
    if (path / "vis_data").is_dir():
        return f"{text}; it is one start of a run: name the folder above it, {path.parent.name}"
    runs = sorted(folder.name for folder in path.iterdir() if folder.is_dir() and find_starts(folder))
    return f"{text}; it holds work dirs: name them, such as {Path(given, runs[0])}" if runs else text


def _last_attempt(starts: list[Start]) -> list[Start]:
    """The starts from the last one whose manifest says that it began at the beginning."""
    begin = max((i for i, start in enumerate(starts) if start.manifest and "resumed" not in start.manifest), default=0)
    return starts[begin:]


def _merged(starts: Sequence[Start]) -> dict[str, dict[int, float]]:
    """The values of all starts; what one did after the point where the next resumed is left out."""
    merged: dict[str, dict[int, float]] = {}
    for start in starts:
        resumed = _resumed_at(start)
        for values in merged.values():
            for iteration in [iteration for iteration in values if iteration > resumed]:
                del values[iteration]
        for name, values in start.scalars.items():
            merged.setdefault(name, {}).update(values)
    return {name: dict(sorted(values.items())) for name, values in merged.items() if values}


def _resumed_at(start: Start) -> float:
    """The iteration after which a start goes on; without a manifest, the one before its first value."""
    if "resumed" in start.manifest:
        return start.manifest["resumed"]["iteration"]
    return min((min(values) - 1 for values in start.scalars.values()), default=math.inf)


def _all_pictures(starts: Sequence[Start]) -> dict[str, dict[int, Path]]:
    found: dict[str, dict[int, Path]] = {}
    for start in starts:
        for name, files in start.pictures.items():
            found.setdefault(name, {}).update(files)
    return {name: dict(sorted(files.items())) for name, files in sorted(found.items())}


def _state(folder: Path, last: Start | None, config: dict) -> str:
    if is_held(folder):
        return "running"
    if last is None:
        return "tested only"
    if _is_finished(folder, last, config):
        return "finished"
    if last.log.error:
        return "ended by an error"
    if _last_checkpoint(folder) == "interrupted.pth":
        return "interrupted"
    if not {"max_epochs", "max_iters"} & (config.get("train_cfg") or {}).keys():
        return "finished or not: its length is unknown"
    return "not finished: killed, or still running elsewhere"


def _is_finished(folder: Path, last: Start, config: dict) -> bool:
    """Whether the last checkpoint or the last line of the log is that of the end."""
    if any((folder / name).is_file() for name in _FITTED):
        return True
    lengths = config.get("train_cfg") or {}
    epochs, iterations = lengths.get("max_epochs"), lengths.get("max_iters")
    if _last_checkpoint(folder) in (f"epoch_{epochs}.pth", f"iter_{iterations}.pth"):
        return True
    epoch, iteration, length = last.log.last or (None, 0, 1)
    return iteration == length and epoch == epochs


def _last_checkpoint(folder: Path) -> str:
    """Name of the checkpoint that MMEngine noted last."""
    try:
        return re.split(r"[/\\]", (folder / "last_checkpoint").read_text(errors="replace").strip())[-1]
    except OSError:
        return ""
