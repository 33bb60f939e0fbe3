"""Files that answer for a folder of images: a table, and a record of what made it."""

import io
import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from ..engine.provenance import KEY, file_record
from ..evaluation.statistics.studies import pool
from ..utils.files import write_whole
from ..utils.versions import versions
from .classifier import CXRClassifierInferencer
from .inferencer import CXRInferencer

VERSION = 1
NOTE = "Research software, not a medical device. A score is not a diagnosis."
SUFFIXES = (".npz", ".csv", ".parquet")
# of a class's row in results.json: how far its scores are from frequencies, on test images
CALIBRATION = ("ece", "brier")


def prediction_columns(inferencer: CXRInferencer, values: np.ndarray) -> dict[str, Sequence]:
    """Columns of a table for people: of findings, the probability and the decision at the run's threshold.

    Args:
        inferencer: What gave the values.
        values: One row per image and one column per entry of `inferencer.columns`.
    """
    columns: dict[str, Sequence] = {name: values[:, i] for i, name in enumerate(inferencer.columns)}
    if not isinstance(inferencer, CXRClassifierInferencer):
        return {name: column.astype(int) if name.endswith("_pixels") else column for name, column in columns.items()}
    for name, threshold in inferencer.thresholds.items():
        if threshold is not None:
            columns[f"{name}_positive"] = np.where(values[:, inferencer.classes.index(name)] >= threshold, "yes", "no")
    return columns


def write_table(out: Path, paths: Sequence[str], columns: Mapping[str, Sequence], first: str = "path") -> None:
    """Writes one row per image: its path, then the columns.

    Args:
        out: `.csv`, with six digits after the point, or `.parquet`.
        paths: Of the images.
        columns: By name.
        first: Name of the column of paths.

    Raises:
        ImportError: If pandas has no library for `.parquet`.
    """
    import pandas as pd  # slow

    frame = pd.DataFrame({first: list(paths), **columns})
    if out.suffix == ".csv":
        text = frame.to_csv(index=False, float_format="%.6f", lineterminator="\n")
        write_whole(out, text.encode(errors="surrogateescape"))
        return
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_whole(out, buffer.getbuffer())


def studies_file(out: Path, how: str) -> Path:
    """The table of studies beside a table of images, `found.studies_mean.csv` beside `found.csv`."""
    return out.with_name(f"{out.stem}.studies_{how}{out.suffix}")


def write_studies(out: Path, paths: Sequence[str], scores: np.ndarray, classes: Sequence[str], how: str) -> None:
    """Writes one row per folder of images, which is a study in the trees of CheXpert and MIMIC-CXR.

    Args:
        out: As for :func:`write_table`.
        paths: Of the images, (n,).
        scores: (n, C).
        classes: Names of the columns, (C,).
        how: ``'mean'`` or ``'max'`` of the scores of a study's images.
    """
    names, study = np.unique([os.path.dirname(path) or "." for path in paths], return_inverse=True)
    pooled = pool(scores.astype(np.float64), study, how)
    columns = {"images": np.bincount(study), **dict(zip(classes, pooled.T, strict=True))}
    write_table(out, names.tolist(), columns, "study")


def write_embeddings(out: Path, paths: Sequence[str], values: np.ndarray) -> None:
    """Writes features (n, D): arrays `path` and `embedding` to `.npz`, or columns f0, f1, ... to a table."""
    if out.suffix != ".npz":
        write_table(out, paths, {f"f{i}": column for i, column in enumerate(values.T)})
        return
    buffer = io.BytesIO()
    np.savez(buffer, path=np.array(paths, dtype=str), embedding=values)
    write_whole(out, buffer.getbuffer())


def write_record(
    out: Path, inferencer: CXRInferencer, weights: Mapping, given: int, failed: Sequence[tuple[str, str]]
) -> None:
    """Writes the record beside a table: model, SHA-256 of its weights, versions, and what could not be read.

    Args:
        out: Of the table; the record has the same name with the suffix `.json`.
        inferencer: What made the table.
        weights: What :func:`weights_of` says.
        given: Number of images that were asked for.
        failed: Path and reason of each that could not be read.
    """
    record = {
        "version": VERSION,
        "note": NOTE,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "table": out.name,
        "weights": dict(weights),
        "device": str(inferencer.device),
        "images": {"given": given, "in_table": given - len(failed)},
        "failed": [{"path": path, "reason": reason} for path, reason in failed],
        "versions": versions(),
    }
    if isinstance(inferencer, CXRClassifierInferencer):
        record["classes"] = inferencer.classes
        record["thresholds"] = inferencer.thresholds
        of_tests = {name: {key: row.get(key) for key in CALIBRATION} for name, row in inferencer.tested.items()}
        record["calibration_on_test_images"] = of_tests
    write_whole(out.with_suffix(".json"), (json.dumps(record, indent=2) + "\n").encode())


def weights_of(inferencer: CXRInferencer) -> dict:
    """Name and SHA-256 of the weights, and of the training what names no folder, patient or split."""
    trained = inferencer.trained
    settings = inferencer.trained.meta.get(KEY) or {}
    of_training = {key: settings[key] for key in ("method", "protocol", "config", "seed", "git") if key in settings}
    return {**file_record(str(trained.path)), "model": type(inferencer.model).__name__, "training": of_training}
