"""Records of finished tests: found, read, checked, and sorted by what was tested."""

import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

VERSION = 1
_KEYS = ("task", "method", "protocol", "config", "seed", "fraction", "draw", "train", "test", "metrics", "details")
_ARRAYS = {"classification": ("scores", "labels"), "segmentation": ("dice", "iou", "hd95", "pixels")}


@dataclass
class Run:
    """A finished test.

    Attributes:
        folder: Of the record.
        record: `results.json`.
        arrays: `predictions.npz`.
        method: Its name in tables.
        test_name: What the data set is called in titles; '' for its type.
    """

    folder: Path
    record: dict
    arrays: dict[str, np.ndarray]
    method: str
    test_name: str = ""

    @property
    def task(self) -> str:
        """What was done, classification or segmentation."""
        return self.record["task"]

    @property
    def test(self) -> dict:
        """What was tested on."""
        return self.record["test"]

    @property
    def classes(self) -> tuple[str, ...]:
        """A name for each column of the predictions."""
        return tuple(self.test["classes"])

    @property
    def key(self) -> tuple:
        """What tells runs of a table apart (protocol, method, fraction, draw, seed)."""
        r = self.record
        return r["protocol"], self.method, r["fraction"], r["draw"], r["seed"]


def load_runs(paths: Iterable[str | os.PathLike]) -> list[Run]:
    """Reads records.

    Args:
        paths: Work dirs, their `results.json`, or folders to search for such.

    Raises:
        FileNotFoundError: If a path holds no record, or a record lacks its predictions.
        ValueError: If a record or its predictions are damaged.
    """
    found: dict[Path, None] = {}
    for path in paths:
        path = Path(path).expanduser()
        files = [path] if path.is_file() else [path / "results.json"]
        if not files[0].is_file():
            files = sorted(path.rglob("results.json"))
        if not files:
            raise FileNotFoundError(
                f"{path}: no results.json"
                + ("" if path.exists() else " (no such folder)")
                + ". The test writes it: otcxr test CONFIG CHECKPOINT --work-dir "
                f"{path}, with the config of that run and otcxr_mm.ResultsHook among its hooks"
            )
        found.update((file.resolve(), None) for file in files)
    return [_read(file) for file in found]


def _read(file: Path) -> Run:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file}: no valid JSON ({error}): test this run again") from error
    if not isinstance(record, dict) or "version" not in record:
        raise ValueError(f"{file}: no record of otcxr_mm.ResultsHook")
    if record["version"] != VERSION:
        raise ValueError(f"{file}: record of version {record['version']}, not {VERSION}: test this run again")
    missing = [key for key in _KEYS if key not in record]
    if missing or record["task"] not in _ARRAYS:
        what = f"lacks {', '.join(missing)}" if missing else f"task {record['task']!r} is not known"
        raise ValueError(f"{file}: the record {what}: test this run again")
    return Run(_shown(file.parent), record, _arrays(file.parent / "predictions.npz", record), record["method"])


def _shown(folder: Path) -> Path:
    """A folder as one would type it from here."""
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _arrays(file: Path, record: dict) -> dict[str, np.ndarray]:
    if not file.is_file():
        raise FileNotFoundError(
            f"{file}: no such file. It is written beside results.json by a test whose metric keeps its predictions "
            "(otcxr_mm.MultiLabelAUC, or a metric of segmentation with `arrays`): test this run again with one"
        )
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as error:
        raise ValueError(f"{file}: damaged ({error}): test this run again") from error
    wanted = ("sample_idx", "patient", *_ARRAYS[record["task"]])
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise ValueError(f"{file}: lacks {', '.join(missing)}: test this run again")
    images = record["test"]["images"]
    lengths = {name: len(arrays[name]) for name in wanted}
    if set(lengths.values()) != {images}:
        raise ValueError(f"{file}: {lengths} rows, but {images} test images in results.json: test this run again")
    columns = arrays[_ARRAYS[record["task"]][0]].shape[1]
    if len(record["test"]["classes"]) != columns:
        raise ValueError(
            f"{file}: {columns} classes, but {len(record['test']['classes'])} names in results.json: set the "
            "classes of the metric, and test this run again"
        )
    return arrays


def rename(runs: Sequence[Run], names: Mapping[str, str]) -> None:
    """Gives methods, single runs, or data sets other names.

    Args:
        runs: Changed in place.
        names: Method, type of a data set (in titles), or folder of a run, to its name in tables.

    Raises:
        ValueError: If a name fits no run.
    """
    for old, new in names.items():
        of_type = [r for r in runs if r.test["type"] == old]
        for run in of_type:
            run.test_name = new
        if of_type:
            continue
        chosen = [r for r in runs if r.record["method"] == old] or [
            r for r in runs if r.folder.resolve() == Path(old).expanduser().resolve()
        ]
        if not chosen:
            methods = sorted({r.record["method"] for r in runs})
            raise ValueError(
                f"--name {old}={new}: neither a run, a data set nor one of the methods {', '.join(methods)}"
            )
        for run in chosen:
            run.method = new


def tasks(runs: Sequence[Run], by_test_set: bool = False) -> list[list[Run]]:
    """Runs that were tested on the same images and classes, together.

    Args:
        runs: Their arrays are brought to one order of images, in place.
        by_test_set: Whether runs on different images of a collection are tables of their own, not an error.

    Returns:
        One list a task, in the order of first appearance.

    Raises:
        ValueError: If runs of a task were not tested on the same images, classes and labels, or a run is there twice.
    """
    groups: dict[tuple, list[Run]] = {}
    for run in runs:
        groups.setdefault((run.task, run.test["type"], run.classes, run.test["sha256"]), []).append(run)
    if not by_test_set:
        firsts = [group[0] for group in groups.values()]
        for i, a in enumerate(firsts):
            for b in firsts[:i]:
                _refuse_similar(b, a)
    for group in groups.values():
        for run in group[1:]:
            check_same_test(group[0], run)
        _check_repetition(group)
    return list(groups.values())


def _refuse_similar(a: Run, b: Run) -> None:
    """Refuses tasks that differ in their images or in their classes; in both, they are two tasks."""
    if (a.task, a.test["type"]) != (b.task, b.test["type"]):
        return
    images, classes = a.test["sha256"] != b.test["sha256"], a.classes != b.classes
    if images and not classes:
        what = "were tested on different images: " + " and ".join(_test_line(run) for run in (a, b))
    elif classes and not images:
        what = f"were tested on different classes: {', '.join(a.classes)} and {', '.join(b.classes)}"
    else:
        return
    raise ValueError(
        f"{a.folder} and {b.folder} {what}. Test them on the same, or give --by-test-set for a table of each"
    )


def _test_line(run: Run) -> str:
    return f"split {run.test['split']!r}, {run.test['images']} images, SHA-256 {short(run.test['sha256'])}"


def short(digest: str | None) -> str:
    """A digest as it is printed."""
    return digest[:12] if digest else "unknown"


def check_same_test(a: Run, b: Run) -> None:
    """Brings the images of `b` into the order of `a`.

    Raises:
        ValueError: If images, patients or labels of the two differ.
    """
    for key in ("task", "classes"):
        if getattr(a, key) != getattr(b, key):
            raise ValueError(f"{a.folder} and {b.folder}: {key} differ: {getattr(a, key)} and {getattr(b, key)}")
    if a.test["sha256"] != b.test["sha256"]:
        raise ValueError(
            f"{a.folder} and {b.folder} were tested on different images: {_test_line(a)} and {_test_line(b)}. "
            "Test them on the same"
        )
    x, y = a.arrays["sample_idx"], b.arrays["sample_idx"]
    if not np.array_equal(x, y):
        if len(np.unique(x)) < len(x) or not np.array_equal(np.sort(x), np.sort(y)):
            raise ValueError(f"{a.folder} and {b.folder}: sample_idx differs in their predictions.npz. {_AGAIN}")
        order = np.argsort(y)[np.argsort(np.argsort(x))]
        b.arrays = {name: values[order] for name, values in b.arrays.items()}
    truth = "labels" if a.task == "classification" else "pixels"
    if not np.array_equal(a.arrays[truth], b.arrays[truth], equal_nan=True):
        differing = ~np.isclose(a.arrays[truth], b.arrays[truth], equal_nan=True).all(1)
        raise ValueError(
            f"{a.folder} and {b.folder}: {truth} of {differing.sum()} of {len(x)} images differ in their "
            f"predictions.npz. {_AGAIN}"
        )
    if not np.array_equal(a.arrays["patient"], b.arrays["patient"]):
        raise ValueError(
            f"{a.folder} and {b.folder}: the patients differ in their predictions.npz. One of them was tested with "
            "otcxr_mm.PackCXR, which keeps patient ids, the other one not, perhaps. " + _AGAIN
        )


_AGAIN = "Test both again with the same test_dataloader"


def _check_repetition(group: Sequence[Run]) -> None:
    seen: dict[tuple, Run] = {}
    for run in group:
        if run.key in seen:
            protocol, method, fraction, draw, seed = run.key
            raise ValueError(
                f"{seen[run.key].folder} and {run.folder} are the same run: method {method!r}, "
                f"protocol {protocol!r}, fraction {fraction:g}, draw {draw}, seed {seed}. Leave one of them out, or "
                f"name one otherwise, as in --name {run.folder}=NAME"
            )
        seen[run.key] = run
