"""One start of a run: what MMEngine and the hooks of this package leave in WORK_DIR/TIMESTAMP."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..utils.configs import read_settings
from .log import Log, read_log

# what a line of scalars holds besides values; a validation's times are not those of training
_PLACE = ("step", "iter", "epoch")
_TIMES = ("time", "data_time")
_PICTURE = re.compile(r"(.+)_(\d+)")


@dataclass
class Start:
    """One start of a training or a test.

    Attributes:
        folder: Its folder, named after the time.
        trained: Whether it was a training.
        manifest: From :class:`otcxr_mm.RunManifestHook`; empty without it.
        config: Settings; empty if they cannot be read.
        log: Its log.
        scalars: Values by name and iteration, the last one of each iteration; not finite where they were not.
        pictures: Files by name and step.
        damaged: Lines of scalars that cannot be read.
    """

    folder: Path
    trained: bool
    manifest: dict
    config: dict
    log: Log
    scalars: dict[str, dict[int, float]]
    pictures: dict[str, dict[int, Path]]
    damaged: int


def find_starts(work_dir: Path) -> list[Path]:
    """The folders of the starts in a work dir, in the order of time."""
    return sorted(
        folder
        for folder in work_dir.iterdir()
        if folder.is_dir() and ((folder / "vis_data").is_dir() or (folder / f"{folder.name}.log").is_file())
    )


def read_start(folder: Path) -> Start:
    """Reads what a start has left; parts that are missing are empty."""
    log, manifest = read_log(folder / f"{folder.name}.log"), read_json(folder / "manifest.json")
    file = folder / "vis_data" / "scalars.json"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    read = [line for line in map(_line, lines) if line is not None]
    return Start(
        folder=folder,
        trained=bool(manifest or read or log.last),
        manifest=manifest,
        config=_config(manifest.get("config_text"), folder / "vis_data" / "config.py"),
        log=log,
        scalars=_scalars(read, log.per_epoch),
        pictures=_pictures(folder / "vis_data" / "vis_image"),
        damaged=len(lines) - len(read),
    )


def read_json(file: Path) -> dict:
    """The mapping in a file; empty if there is none, or if it is damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _line(text: str) -> dict | None:
    """A line of scalars; None if it is not one, such as the last one of a killed run."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("step"), int) else None


def _config(text: object, file: Path) -> dict:
    try:
        return read_settings(text if isinstance(text, str) else file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}


def _scalars(lines: list[dict], per_epoch: int | None) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for line in lines:
        iteration = _iteration(line, per_epoch)
        for name, value in _values(line):
            found.setdefault(name, {})[iteration] = value
    return found


def _iteration(line: Mapping, per_epoch: int | None) -> int:
    """The iteration of a line; MMEngine counts the validations of a training by epochs in epochs."""
    validation = "iter" not in line and any(name in line for name in _TIMES)
    return line["step"] * per_epoch if validation and per_epoch else line["step"]


def _values(line: Mapping) -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        repeated = name == "base_lr" and line.get("lr") == value
        if name in _PLACE or repeated or (name in _TIMES and "iter" not in line):
            continue
        if value is None or isinstance(value, (int, float)):
            yield name, math.nan if value is None else float(value)


def _pictures(folder: Path) -> dict[str, dict[int, Path]]:
    found: dict[str, dict[int, Path]] = {}
    for file in sorted(folder.rglob("*.png")):
        if match := _PICTURE.fullmatch(file.relative_to(folder).with_suffix("").as_posix()):
            found.setdefault(match[1], {})[int(match[2])] = file
    return found
