"""Writes the record of a finished test, from which tables are made."""

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import BaseLoop, Runner

from ...datasets.base import BaseCXRDataset
from ...datasets.inspection import counts, leaves
from ...registry import HOOKS
from ...utils.checkpoints import trained_config
from ...utils.configs import backbone_source, leaf_specs
from ...utils.files import write_whole
from ...utils.versions import versions
from ..model import unwrap_model

VERSION = 1
RANDOM_INIT = "random init"


@HOOKS.register_module()
class ResultsHook(Hook):
    """Writes `results.json` and `predictions.npz` to the work dir after a test, for `otcxr table`.

    It also writes `results.csv` with one row per class, and for classification `reliability.png`.

    The record says what was trained (method, protocol, seed, share of the patients, backbone, training images) and
    tested (test images, metrics, and the metric's attribute `details`); it holds no path and no patient id.
    `predictions.npz` holds the metric's `arrays`, including the images' paths below their data roots (`image`), to join
    predictions with a table. For a metric without these attributes, only its figures are recorded.

    `method` and `protocol` are keys of the config; `method` defaults to the folder of the file that the backbone was
    loaded from, or "random init". Seed, fraction and draw are those that the checkpoint was trained with, even if the
    test's config differs. An existing record is replaced.
    """

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self._trained: dict | None = None
        self._seed: int | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keeps the settings that the checkpoint was trained with."""
        self._trained = trained_config(checkpoint)
        self._seed = (checkpoint.get("meta") or {}).get("seed")

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        """Writes the record."""
        metric = _detailed_metric(runner)
        arrays, details = (getattr(metric, name, None) or {} for name in ("arrays", "details"))
        record = {"version": VERSION, "task": _task(runner, arrays), **self._run(runner)}
        record["test"] = _test_set(runner, metric, details)
        record["metrics"] = {name: value for name, value in plain(dict(metrics or {})).items() if _is_number(value)}
        record["details"] = plain(details)
        record["versions"] = versions()
        self._write(Path(runner.work_dir), record, arrays)
        write_whole(Path(runner.work_dir) / "results.csv", _csv(_class_rows(record)).encode())
        runner.logger.info(f"record of this test written to {os.path.join(runner.work_dir, 'results.json')}")
        if record["task"] == "classification" and details:
            _reliability_picture(details, Path(runner.work_dir) / "reliability.png")

    @staticmethod
    def _write(folder: Path, record: dict, arrays: Mapping[str, np.ndarray]) -> None:
        text = json.dumps(record, indent=2, allow_nan=False) + "\n"
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        # removed first and written last, the record never lies beside the predictions of another test
        for name in ("results.json", "predictions.npz"):
            (folder / name).unlink(missing_ok=True)
        if arrays:
            write_whole(folder / "predictions.npz", buffer.getvalue())
        write_whole(folder / "results.json", text.encode())

    def _run(self, runner: Runner) -> dict:
        """What was trained, on which data, from which backbone."""
        # if trained and tested in one process, the weights come from no file
        here = isinstance(runner._train_loop, BaseLoop)
        trained = runner.cfg if here or self._trained is None else self._trained
        spec = ((trained.get("train_dataloader") or {}).get("dataset")) or {}
        shares = [(leaf.get("fraction", 1.0), leaf.get("draw", 0)) for leaf in leaf_specs(spec)]
        fraction, draw = shares[0]
        if len(set(shares)) > 1:
            runner.logger.warning(
                f"ResultsHook: the training sets have different fractions and draws, {shares}; recording the first"
            )
        seed = runner.seed if here else self._seed
        # the test's own load_from is the tested checkpoint
        source = backbone_source(trained, with_load_from=here or trained is self._trained)
        return {
            "method": runner.cfg.get("method") or trained.get("method") or _method(source),
            "protocol": runner.cfg.get("protocol") or trained.get("protocol") or "",
            "config": Path(runner.cfg.filename).stem if runner.cfg.filename else "",
            "seed": seed if seed is not None else (trained.get("randomness") or {}).get("seed"),
            "fraction": float(fraction),
            "draw": int(draw),
            "checkpoint": None if here or not runner._load_from else _file(runner, runner._load_from),
            "backbone": None if source is None else _file(runner, source, parent=True),
            "train": _train_set(runner, here, shares),
        }


def _detailed_metric(runner: Runner) -> object | None:
    """The first metric that has details, or else the first metric."""
    found = list(runner.test_evaluator.metrics)
    detailed = [metric for metric in found if getattr(metric, "details", None) is not None]
    if len(detailed) > 1:
        names = [type(metric).__name__ for metric in detailed]
        runner.logger.warning(f"ResultsHook: {names} all have details; recording those of the first")
    return next(iter([*detailed, *found]), None)


def _task(runner: Runner, arrays: Mapping) -> str:
    if arrays:
        return "segmentation" if "dice" in arrays else "classification"
    return "segmentation" if hasattr(unwrap_model(runner), "decode_head") else "classification"


def _method(source: str | None) -> str:
    if source is None:
        return RANDOM_INIT
    path = Path(source)
    return path.stem if "://" in source else _folder(path) or path.stem


def _folder(path: Path) -> str:
    """Name of a file's folder; '' for a home folder, whose name is private."""
    folder = path.expanduser().parent
    return "" if folder == Path.home() or folder.parent in (Path("/home"), Path("/Users")) else folder.name


def _file(runner: Runner, path: str, parent: bool = False) -> dict:
    """Name and SHA-256 of a file; the SHA-256 is None if the file no longer exists."""
    source = Path(path).expanduser()
    folder = _folder(source) if parent else ""
    name = f"{folder}/{source.name}" if folder else source.name
    if not source.is_file():
        runner.logger.warning(f"ResultsHook: {path} does not exist any more; its SHA-256 is not recorded")
        return {"file": name, "sha256": None}
    digest = hashlib.sha256()
    with open(source, "rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return {"file": name, "sha256": digest.hexdigest()}


def _train_set(runner: Runner, here: bool, shares: Sequence[tuple[float, int]]) -> dict:
    """Counts of the training set, which a test does not build; from the tables alone, as the images may be gone."""
    try:
        if here:
            return counts(runner.train_dataloader.dataset)
        spec = deepcopy((runner.cfg.get("train_dataloader") or {}).get("dataset"))
        if spec is None:
            raise ValueError("the config has no train_dataloader")
        with DefaultScope.overwrite_default_scope(runner.cfg.get("default_scope")):
            parts = list(leaf_specs(spec))
            if len(parts) != len(shares):
                raise ValueError(f"the checkpoint was trained on {len(shares)} data sets, the config has {len(parts)}")
            for leaf, (fraction, draw) in zip(parts, shares, strict=True):
                cls = DATASETS.get(leaf["type"]) if isinstance(leaf["type"], str) else leaf["type"]
                if isinstance(cls, type) and issubclass(cls, BaseCXRDataset):
                    found = leaf.get("fraction", 1.0), leaf.get("draw", 0)
                    if found != (fraction, draw):
                        runner.logger.warning(
                            f"ResultsHook: the config has fraction={found[0]}, draw={found[1]}, but the checkpoint was "
                            f"trained with fraction={fraction}, draw={draw}: recording the latter"
                        )
                    leaf.update(check_files=False, fraction=fraction, draw=draw)
            return counts(DATASETS.build(spec))
    except Exception as error:  # a record without these counts is better than none
        runner.logger.warning(f"ResultsHook: cannot count the training set: {type(error).__name__}: {error}")
        return {"images": None, "patients": None, "sha256": None}


def _test_set(runner: Runner, metric: object, details: Mapping) -> dict:
    dataset = runner.test_dataloader.dataset
    parts = list(leaves(dataset))
    splits = sorted({str(getattr(part, "split", "")) for part in parts})
    meta = getattr(dataset, "metainfo", None) or {}
    rows = details.get("classes")
    named = isinstance(rows, list) and all(isinstance(row, Mapping) and "name" in row for row in rows)
    # a data set with masks may also have labels of images: the metric knows what it measured
    classes = [row["name"] for row in rows] if named else getattr(metric, "classes", None) or meta.get("classes") or ()
    return {
        "type": "+".join(sorted({type(part).__name__ for part in parts})),
        "split": "+".join(splits),
        **counts(dataset),
        "classes": [str(name) for name in classes],
    }


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def plain(value: object) -> object:
    """Converts a value for JSON: NumPy's and torch's numbers to Python's, and non-finite ones to None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _class_rows(record: Mapping) -> list[Mapping]:
    """One row per class, and their mean; without details, the flat metrics."""
    details = record["details"]
    mean = details.get("macro") or details.get("mean")
    rows = [*(details.get("classes") or []), *([{"name": "mean", **mean}] if mean else [])]
    return rows or [record["metrics"]]


def _csv(rows: Sequence[Mapping]) -> str:
    """One row per class; an interval becomes two columns, and lists are left out."""
    flat = [dict(_columns("", row)) for row in rows]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(name for row in flat for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return buffer.getvalue()


def _columns(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _columns(f"{name}_{key}".lstrip("_"), item)
    elif "interval" in name or name.endswith("delong"):
        if value is not None:
            yield from zip((f"{name}_low", f"{name}_high"), value, strict=True)
    elif value is not None and (isinstance(value, str) or not isinstance(value, Sequence)):
        yield name, value


def _reliability_picture(details: Mapping, path: Path) -> None:
    """Draws the reliability diagram, unless the scores are not probabilities."""
    if "classes" not in details or (details.get("calibration") or {}).get("reason"):
        return
    from ...visualization.reliability import picture  # matplotlib

    buffer = io.BytesIO()
    picture(details["classes"]).savefig(buffer, format="png", dpi=100)
    write_whole(path, buffer.getvalue())
