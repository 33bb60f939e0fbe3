"""Writes the record of a finished test, from which tables are made."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from ...registry import HOOKS
from ...utils.escape import for_csv
from ...utils.files import write_whole
from ...utils.versions import versions
from ..provenance import COUNTED, KEY, RANDOM_INIT, describe_data, file_record, shareable_part

VERSION = 1


@HOOKS.register_module()
class ResultsHook(Hook):
    """Writes `results.json` and `predictions.npz` to the work dir after a test, for `otcxr table`.

    It also writes `results.csv` with one row per class, and for classification `reliability.png`.

    The record is that of the training, as the checkpoint holds it (:func:`otcxr_mm.engine.provenance.describe`: method,
    protocol, seed, share of the patients, backbone, training images), with what was tested in `test`, the metrics, and
    the metric's attribute `details`; it holds no path and no patient id. `predictions.npz` holds the metric's `arrays`,
    including the images' paths below their data roots (`image`), to join predictions with a table. The metric is a
    :class:`otcxr_mm.MultiLabelAUC` or :class:`otcxr_mm.MaskMetric`.

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
        metric = next((one for one in runner.test_evaluator.metrics if getattr(one, "details", None)), None)
        if metric is None:
            runner.logger.warning("no results.json: the test evaluator has no MultiLabelAUC or MaskMetric")
            return
        arrays, details, folder = metric.arrays, plain(metric.details), Path(runner.work_dir)
        tested = describe_data(runner.test_dataloader.dataset)
        record = {
            **self._training(runner),
            "version": VERSION,
            "task": "segmentation" if "dice" in arrays else "classification",
            "test": {**tested, "classes": arrays["classes"].tolist(), "versions": versions()},
            "metrics": plain(metrics),
            "details": details,
        }
        self._write(folder, record, arrays)
        write_whole(folder / "results.csv", _csv(details).encode())
        runner.logger.info(f"record of this test written to {folder / 'results.json'}")
        if "calibration" in details and not details["calibration"].get("reason"):  # the scores are probabilities
            _reliability_picture(details, folder / "reliability.png")

    @staticmethod
    def _write(folder: Path, record: dict, arrays: Mapping[str, np.ndarray]) -> None:
        text = json.dumps(record, indent=2, allow_nan=False) + "\n"
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        # removed first and written last, the record never lies beside the predictions of another test
        for name in ("results.json", "predictions.npz"):
            (folder / name).unlink(missing_ok=True)
        write_whole(folder / "predictions.npz", buffer.getvalue())
        write_whole(folder / "results.json", text.encode())

    def _training(self, runner: Runner) -> dict:
        """The record of the training, and the checkpoint that is tested."""
        here = isinstance(runner._train_loop, BaseLoop)  # trained and tested in one process
        trained = shareable_part(runner.message_hub.get_info(KEY)) if here else self._trained
        if not trained:
            runner.logger.warning(
                "the checkpoint has no record of its training (otcxr_mm.RunManifestHook adds it): seed and training "
                "images are recorded as unknown, and as if all of the training patients had been used"
            )
            unknown = {"train": dict.fromkeys(COUNTED), "seed": None, "fraction": 1.0, "draw": 0, "backbone": None}
            names = {"method": RANDOM_INIT, "protocol": "", "config": Path(runner.cfg.filename or "").stem}
            trained = names | unknown
        given = {key: runner.cfg[key] for key in ("method", "protocol") if runner.cfg.get(key)}
        checkpoint = file_record(runner._load_from) if runner._load_from and not here else None
        return {**trained, **given, "checkpoint": checkpoint}


def plain(value: object) -> object:
    """Converts a value for JSON: NumPy's and torch's numbers to Python's, and non-finite ones to None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _csv(details: Mapping) -> str:
    """One row per class, and their mean; an interval becomes two columns, and lists are left out."""
    import pandas as pd  # slow

    rows = [*details["classes"], {"name": "mean", **(details.get("macro") or details["mean"])}]
    columns = {}
    for name, values in pd.json_normalize(rows, sep="_").dropna(axis=1, how="all").items():
        if "interval" in name or name.endswith("delong"):
            columns |= {f"{name}_low": values.str[0], f"{name}_high": values.str[1]}
        elif not values.map(lambda value: isinstance(value, list)).any():
            columns[name] = values
    return for_csv(pd.DataFrame(columns).convert_dtypes()).to_csv(index=False, lineterminator="\n")


def _reliability_picture(details: Mapping, path: Path) -> None:
    from ...visualization.reliability import picture  # matplotlib

    buffer = io.BytesIO()
    picture(details["classes"]).savefig(buffer, format="png", dpi=100)
    write_whole(path, buffer.getvalue())
