"""Finished tests, read from what :class:`otcxr_mm.ResultsHook` writes, and grouped by what they were tested on."""

import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(eq=False)
class Run:
    """A finished test.

    Attributes:
        folder: Its work dir.
        task: classification or segmentation.
        method: Name in tables.
        protocol: How the backbone was evaluated, such as linear or finetune.
        config: Name of the config.
        seed: Seed of the training.
        fraction: Share of the training patients.
        draw: Which draw of the training patients.
        train_sha256: Digest of the training images; None if unknown.
        test: The test set: type, split, images, patients, sha256, classes.
        unit: Unit of HD95; None for classification.
        arrays: `predictions.npz`.
        title: Name of the data set in titles.
    """

    folder: Path
    task: str
    method: str
    protocol: str
    config: str
    seed: int | None
    fraction: float
    draw: int
    train_sha256: str | None
    test: dict
    unit: str | None
    arrays: dict[str, np.ndarray]
    title: str

    @property
    def classes(self) -> tuple[str, ...]:
        """A name for each column of the predictions."""
        return tuple(self.test["classes"])


def load_runs(paths: Iterable[str | os.PathLike]) -> list[Run]:
    """Reads finished tests.

    Args:
        paths: Work dirs, their `results.json`, or folders to search for work dirs.

    Raises:
        FileNotFoundError: If a path holds no `results.json`, or one without `predictions.npz` beside it.
        ValueError: If a file cannot be read.
    """
    found = []
    for path in map(Path, paths):
        file = path if path.is_file() else path / "results.json"
        files = [file] if file.is_file() else sorted(path.rglob("results.json"))
        if not files:
            raise FileNotFoundError(f"{path}: no results.json. Test the run first: otcxr test")
        found += files
    return [_read(file) for file in {file.resolve(): file for file in found}.values()]


def _read(file: Path) -> Run:
    predictions = file.with_name("predictions.npz")
    if not predictions.is_file():
        raise FileNotFoundError(f"{predictions}: not found. A test with MultiLabelAUC or MaskMetric writes it")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        with np.load(predictions, allow_pickle=False) as archive:
            arrays = dict(archive)
        return Run(
            folder=file.parent,
            **{key: record[key] for key in ("task", "method", "protocol", "config", "seed", "fraction", "draw")},
            train_sha256=record["train"]["sha256"],
            test=record["test"],
            unit=record["details"].get("hd95_unit"),
            arrays=arrays,
            title=record["test"]["type"],
        )
    except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as error:
        raise ValueError(f"{file}: not a readable record ({error!r}). Test this run again: otcxr test") from error


def rename(runs: Sequence[Run], names: Mapping[str, str]) -> None:
    """Renames methods, single runs, or data sets.

    Args:
        runs: Changed in place.
        names: Type of a data set, method, or work dir of a run, to its name in tables.

    Raises:
        ValueError: If a name matches no run.
    """
    before = {run: run.method for run in runs}
    for old, new in names.items():
        of_type = [run for run in runs if run.test["type"] == old]
        named = [run for run in runs if before[run] == old]
        chosen = named or [run for run in runs if run.folder.resolve() == Path(old).resolve()]
        if not of_type and not chosen:
            methods = ", ".join(sorted(set(before.values())))
            raise ValueError(f"--name {old}={new}: neither a run, a data set nor one of the methods {methods}")
        for run in of_type or chosen:
            setattr(run, "title" if of_type else "method", new)


def tasks(runs: Iterable[Run], by_test_set: bool = False) -> list[list[Run]]:
    """Groups runs by task, data set and classes.

    Args:
        runs: The runs.
        by_test_set: Whether runs tested on different images of a data set are groups of their own, not an error.

    Raises:
        ValueError: If runs of a group were not tested on the same images, labels and patients, or two are the same run.
    """
    groups: dict[tuple, list[Run]] = {}
    for run in runs:
        key = (run.task, run.test["type"], run.classes, run.test["sha256"] if by_test_set else None)
        groups.setdefault(key, []).append(run)
    for group in groups.values():
        seen: dict[tuple, Run] = {}
        for run in group:
            check_same_test(group[0], run)
            key = (run.protocol, run.method, run.fraction, run.draw, run.seed)
            other = seen.setdefault(key, run)
            if other is not run:
                raise ValueError(
                    f"{other.folder} and {run.folder} have the same protocol, method, fraction, draw and seed: leave "
                    f"one out, or rename it with --name {run.folder}=NAME"
                )
    return list(groups.values())


def check_same_test(a: Run, b: Run) -> None:
    """Checks that two runs were tested on the same images, classes, labels and patients.

    Raises:
        ValueError: If they differ.
    """
    pair = f"{a.folder} and {b.folder}"
    for name in ("task", "classes"):
        if getattr(a, name) != getattr(b, name):
            raise ValueError(f"{pair}: {name} differ: {getattr(a, name)} and {getattr(b, name)}")
    if a.test["sha256"] != b.test["sha256"]:
        images = (f"split {t['split']!r}, {t['images']} images, SHA-256 {short(t['sha256'])}" for t in (a.test, b.test))
        raise ValueError(
            f"{pair} were tested on different images: {' and '.join(images)}. Test them on the same images, or use "
            "otcxr table --by-test-set for a table per test set"
        )
    for name in ("sample_idx", "labels" if a.task == "classification" else "pixels", "patient"):
        if not np.array_equal(a.arrays[name], b.arrays[name], equal_nan=True):
            raise ValueError(f"{pair} differ in {name}: test both again with the same test_dataloader")


def short(digest: str | None) -> str:
    """The first digits of a digest."""
    return digest[:12] if digest else "unknown"
