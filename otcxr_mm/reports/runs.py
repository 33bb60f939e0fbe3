"""Finished tests, read from what :class:`otcxr_mm.ResultsHook` writes, and grouped by what they were tested on."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# the parts of a record and of its test, and the arrays with a column per class, by task
_KINDS = {"task": str, "method": str, "protocol": str, "config": str, "seed": int | None, "fraction": int | float}
_KINDS |= {"draw": int, "train": dict, "test": dict, "details": dict}
_TESTED = {"type": str, "split": str, "sha256": str, "images": int, "patients": int, "classes": list}
_COLUMNS = {"classification": ("labels", "scores"), "segmentation": ("dice", "iou", "hd95", "pixels")}


@dataclass(eq=False)
class Run:
    """A finished test.

    Attributes:
        folder: Its work dir.
        arrays: `predictions.npz`.
        task: classification or segmentation.
        method: Name in tables.
        protocol: How the backbone was evaluated, such as linear or finetune.
        config: Name of the config.
        seed: Seed of the training.
        fraction: Share of the training patients.
        draw: Which draw of the training patients.
        train: The training set, with its sha256; None if unknown.
        test: The test set: type, split, images, patients, sha256, classes.
        details: What the metric found, with the unit of HD95 (hd95_unit).
    """

    folder: Path
    arrays: dict[str, np.ndarray]
    task: str
    method: str
    protocol: str
    config: str
    seed: int | None
    fraction: float
    draw: int
    train: dict
    test: dict
    details: dict

    @property
    def classes(self) -> tuple[str, ...]:
        """A name for each column of the predictions."""
        return tuple(self.test["classes"])


def load_runs(paths: Iterable[str | os.PathLike]) -> list[Run]:
    """Reads finished tests.

    Args:
        paths: Work dirs, or folders to search for work dirs.

    Raises:
        FileNotFoundError: If a path holds no `results.json`, or one without `predictions.npz` beside it.
        ValueError: If a `results.json` is not a record of a test.
    """
    found = {}
    for path in map(Path, paths):
        files = sorted(path.rglob("results.json"))
        if not files:
            raise FileNotFoundError(f"{path}: no results.json. Test the run first: otcxr test")
        found |= {file.resolve(): file for file in files}
    return [read_run(file) for file in found.values()]


def read_run(file: Path) -> Run:
    """Reads the record of a test, `results.json`, and the `predictions.npz` beside it.

    Raises:
        FileNotFoundError: If one of the two is missing.
        ValueError: If it is not a record of a test.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        with np.load(file.with_name("predictions.npz")) as archive:
            run = Run(file.parent, dict(archive), **{key: record[key] for key in _KINDS})
        _check(run)
    except FileNotFoundError:
        raise
    except Exception as error:  # json, zipfile, zlib and numpy raise anything at damaged files
        raise ValueError(f"{file}: not a readable record ({error!r}). Test this run again: otcxr test") from error
    return run


def _check(run: Run) -> None:
    """Raises a TypeError or ValueError unless the parts of a record are what tables take them for."""
    parts = [(key, vars(run)[key], kinds) for key, kinds in _KINDS.items()]
    for key, value, kinds in parts + [(key, run.test[key], kinds) for key, kinds in _TESTED.items()]:
        if not isinstance(value, kinds):
            raise TypeError(f"{key} is {value!r:.60}")
    if not all(isinstance(name, str) for name in run.classes):
        raise TypeError(f"classes are {run.classes!r:.60}")
    images, columns = len(run.arrays["patient"]), _COLUMNS[run.task]
    for name in ("patient", "sample_idx", *columns):
        array = run.arrays[name]
        shape = (images, len(run.classes)) if name in columns else (images,)
        if array.shape != shape or not images or array.dtype.kind not in "biuf":
            raise ValueError(f"{name} has the shape {array.shape} and dtype {array.dtype}, not numbers {shape}")


def rename(runs: Sequence[Run], names: Mapping[str, str]) -> None:
    """Renames methods, single runs, or data sets.

    Args:
        runs: Changed in place.
        names: Type of a data set, method, or work dir of a run, to its name in tables.

    Raises:
        ValueError: If a name matches no run.
    """
    used = set()
    for run in runs:
        data, method, folder = (run.test, "type"), (vars(run), "method"), str(run.folder)
        for (owner, key), old in ((data, run.test["type"]), (method, run.method), (method, folder)):
            if old in names:
                owner[key] = names[old]
                used.add(old)
    for old in names.keys() - used:
        raise ValueError(f"--name {old}={names[old]}: there is no such method, work dir or type of data set")


def tasks(runs: Iterable[Run]) -> list[list[Run]]:
    """Groups runs by task, data set, classes and test images.

    Raises:
        ValueError: If runs of a group differ in labels or patients, or two are the same run.
    """
    groups: dict[tuple, dict[tuple, Run]] = {}
    for run in runs:
        group = groups.setdefault((run.test["type"], *_tested_on(run)), {})
        other = group.setdefault((run.protocol, run.method, run.fraction, run.draw, run.seed), run)
        if other is not run:
            raise ValueError(
                f"{other.folder} and {run.folder} have the same protocol, method, fraction, draw and seed: leave "
                f"one out, or rename it with --name {run.folder}=NAME"
            )
        check_same_test(next(iter(group.values())), run)
    return [list(group.values()) for group in groups.values()]


def check_same_test(a: Run, b: Run) -> None:
    """Checks that two runs were tested on the same images, classes, labels and patients.

    Raises:
        ValueError: If they differ.
    """
    pair = f"{a.folder} and {b.folder}"
    if _tested_on(a) != _tested_on(b):
        raise ValueError(f"{pair} were not tested on the same: {_tested_on(a)} and {_tested_on(b)}")
    for name in ("sample_idx", "labels" if a.task == "classification" else "pixels", "patient"):
        if not np.array_equal(a.arrays[name], b.arrays[name], equal_nan=True):
            raise ValueError(f"{pair} differ in {name}: test both again with the same test_dataloader")


def _tested_on(run: Run) -> tuple:
    return run.task, run.test["split"], f"SHA-256 {short(run.test['sha256'])}", run.classes


def short(digest: str) -> str:
    """The first digits of a digest."""
    return digest[:12]
