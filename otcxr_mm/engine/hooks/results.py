"""Writes the record of a finished test, from which tables are made."""

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from ...registry import HOOKS
from ...utils.files import write_whole
from ...utils.versions import versions
from ..model import unwrap_model
from ..provenance import COUNTED, KEY, describe, describe_data, file_record, shareable_part

VERSION = 1


@HOOKS.register_module()
class ResultsHook(Hook):
    """Writes `results.json` and `predictions.npz` to the work dir after a test, for `otcxr table`.

    It also writes `results.csv` with one row per class, and for classification `reliability.png`.

    The record is that of the training, as the checkpoint holds it (:func:`otcxr_mm.engine.provenance.describe`: method,
    protocol, seed, share of the patients, backbone, training images), with what was tested in `test`, the metrics, and
    the metric's attribute `details`; it holds no path and no patient id. `predictions.npz` holds the metric's `arrays`,
    including the images' paths below their data roots (`image`), to join predictions with a table. Of several metrics,
    the first with `details` gives them; without any, only the figures are recorded.

    `method` and `protocol` are keys of the config; `method` defaults to the folder of the file that the backbone was
    loaded from, or "random init". The test's config may set them anew. An existing record is replaced.
    """

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self._trained: dict | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keeps the record of the training."""
        self._trained = (checkpoint.get("meta") or {}).get(KEY)

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        """Writes the record."""
        found = runner.test_evaluator.metrics
        metric = next((one for one in found if getattr(one, "details", None) is not None), found[0])
        arrays, details = (getattr(metric, name, None) or {} for name in ("arrays", "details"))
        record = {
            **self._training(runner),
            "version": VERSION,
            "task": _task(runner, arrays),
            "test": _test_set(runner, metric, details),
            "metrics": {k: v for k, v in plain(metrics or {}).items() if isinstance(v, (int, float, NoneType))},
            "details": plain(details),
        }
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

    def _training(self, runner: Runner) -> dict:
        """The record of the training, and the checkpoint that is tested."""
        here = isinstance(runner._train_loop, BaseLoop)  # trained and tested in one process
        trained = shareable_part(runner.message_hub.get_info(KEY) or {}) if here else self._trained
        if not trained:
            runner.logger.warning(
                "the checkpoint has no record of its training (otcxr_mm.RunManifestHook adds it): seed, fraction and "
                "draw are recorded as in this config, and training images as unknown"
            )
            trained = shareable_part(describe(runner)) | {"train": dict.fromkeys(COUNTED)}
        given = {key: runner.cfg[key] for key in ("method", "protocol") if runner.cfg.get(key)}
        checkpoint = file_record(runner._load_from) if runner._load_from and not here else None
        return {**trained, **given, "checkpoint": checkpoint}


def _task(runner: Runner, arrays: Mapping) -> str:
    if arrays:
        return "segmentation" if "dice" in arrays else "classification"
    return "segmentation" if hasattr(unwrap_model(runner), "decode_head") else "classification"


def _test_set(runner: Runner, metric: object, details: Mapping) -> dict:
    dataset = runner.test_dataloader.dataset
    rows = details.get("classes")
    named = isinstance(rows, list) and all(isinstance(row, Mapping) and "name" in row for row in rows)
    # a data set with masks may also have labels of images: the metric knows what it measured
    of_data = (getattr(dataset, "metainfo", None) or {}).get("classes") or ()
    classes = [row["name"] for row in rows] if named else getattr(metric, "classes", None) or of_data
    return {**describe_data(dataset), "classes": [str(name) for name in classes], "versions": versions()}


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
