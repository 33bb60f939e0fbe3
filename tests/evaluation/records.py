"""Made-up records of finished tests, as :class:`otcxr_mm.ResultsHook` writes them."""

import json
import zlib

import numpy as np

CLASSES = ["Mass", "Hernia", "Edema"]


def write_run(folder, method="otcxr", strength=1.0, *, noise=None, **changes):
    """A classification run; `changes` of the record, those of `test` and `train` merged."""
    images, rng = 120, np.random.default_rng(0)
    labels = (rng.random((images, 3)) < [0.4, 0.3, 0.5]).astype(np.float32)
    labels[rng.random(images) < 0.1, 1] = np.nan
    patient = np.unique(rng.integers(0, 40, images), return_inverse=True)[1].astype(np.int64)
    own = np.random.default_rng([zlib.crc32(method.encode()) if noise is None else noise, changes.get("draw", 0)])
    scores = own.normal(size=(images, 3)) + strength * np.nan_to_num(labels, nan=0.5)
    arrays = {
        "sample_idx": np.arange(images),
        "patient": patient,
        "scores": scores.astype(np.float32),
        "labels": labels,
    }
    return _write(folder, _record("classification", method, images, patient, CLASSES, changes), arrays)


def write_masks(folder, method="otcxr", quality=0.8, *, hd95_unit="pixel", **changes):
    """A segmentation run."""
    images, rng = 60, np.random.default_rng(0)
    patient = np.unique(rng.integers(0, 30, images), return_inverse=True)[1].astype(np.int64)
    pixels = rng.integers(50, 500, (images, 2))
    own = np.random.default_rng(int(quality * 1000))
    dice = np.clip(own.normal(quality, 0.05, (images, 2)), 0, 1)
    arrays = {
        "sample_idx": np.arange(images),
        "patient": patient,
        "dice": dice,
        "iou": dice / (2 - dice),
        "hd95": 40 * (1 - dice),
        "pixels": pixels,
    }
    changes.setdefault("details", {"hd95_unit": hd95_unit})
    return _write(folder, _record("segmentation", method, images, patient, ["left", "right"], changes), arrays)


def _record(task, method, images, patient, classes, changes):
    record = {
        "task": task,
        "method": method,
        "protocol": "linear",
        "config": "linear_r50",
        "seed": 0,
        "fraction": 1.0,
        "draw": 0,
        "train": {"sha256": None},
        "test": {
            "type": "NIHChestXray14",
            "split": "test",
            "images": images,
            "patients": len(np.unique(patient)),
            "sha256": "a" * 64,
            "classes": classes,
        },
        "details": {},
    }
    for key, value in changes.items():
        record[key] = {**record[key], **value} if key in ("test", "train") else value
    return record


def _write(folder, record, arrays):
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(record))
    np.savez_compressed(folder / "predictions.npz", **arrays)
    return folder


def replace_arrays(folder, **arrays):
    """Replaces arrays of a run's predictions."""
    file = folder / "predictions.npz"
    np.savez_compressed(file, **{**np.load(file), **arrays})


def few_patients(folder):
    """Makes Hernia a finding of nine patients, too few for an interval."""
    arrays = np.load(folder / "predictions.npz")
    labels = arrays["labels"]
    labels[:, 1] = np.isin(arrays["patient"], range(9))
    replace_arrays(folder, labels=labels)
    return folder
