"""What data sets hold: patients, labels, ages, grey values."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from ..utils.threads import map_in_threads
from .base import BaseCXRDataset
from .content import UNREADABLE, reader
from .inspection import named_leaves
from .records import OLDEST


def intensity(dataset: BaseCXRDataset, max_images: int = 500, seed: int = 0) -> dict:
    """Mean, standard deviation and histogram of grey values on the scale 0 to 255, each image with the same weight.

    Args:
        dataset: Its images are read as its pipeline reads them, before any resizing.
        max_images: Number of images to read, drawn at random; 0 for all.
        seed: Seed of the draw.

    Returns:
        images (read), unread (broken ones among those drawn), mean, std, histogram (shares of the values 0 to 255).

    Raises:
        ValueError: If none of them can be read.
    """
    n = len(dataset)
    count = min(max_images or n, n)
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:count]).tolist()
    read = reader(dataset)

    def measure(row: int) -> np.ndarray | Exception:
        try:
            img = read(row)
        except UNREADABLE as error:
            return error
        histogram = np.bincount(np.clip(np.rint(img), 0, 255).astype(np.uint8).ravel(), minlength=256) / img.size
        values = img.astype(np.float64)
        return np.concatenate([[values.mean(), (values**2).mean()], histogram])

    results = map_in_threads(measure, rows, "Reading images")
    found = [result for result in results if isinstance(result, np.ndarray)]
    if not found:
        raise ValueError(f"none of {count} images can be read; the first one: {results[0]}")
    mean, square, *histogram = np.mean(found, 0).tolist()
    std = max(square - mean**2, 0) ** 0.5
    return {"images": len(found), "unread": count - len(found), "mean": mean, "std": std, "histogram": histogram}


def describe(dataset: BaseCXRDataset, max_images: int = 500, seed: int = 0) -> dict:
    """Figures of one data set, without any path or patient id.

    Args:
        dataset: The data set.
        max_images: See :func:`intensity`.
        seed: Seed of the draw of images.

    Returns:
        type, images, patients, without_id, most_images (of one patient), view and sex (counts, '' for unknown), age
        (known, min, median, max, histogram of decades), labels (positive, negative, unknown for each class),
        cooccurrence (images positive for both classes), intensity; None for what no table says.
    """
    dataset.full_init()
    records = dataset.records
    patients = Counter(records.patient.tolist())
    without = patients.pop("", 0)
    record = {
        "type": type(dataset).__name__,
        "images": len(records),
        "patients": len(patients),
        "without_id": without,
        "most_images": max(patients.values(), default=0),
        "view": dict(Counter(records.view.tolist()).most_common()) if (records.view != "").any() else None,
        "sex": dict(Counter(records.sex.tolist()).most_common()) if (records.sex != "").any() else None,
        "age": _ages(records.age[np.isfinite(records.age)]),
        "labels": None,
        "cooccurrence": None,
        "intensity": intensity(dataset, max_images, seed),
    }
    if records.labels is not None:
        positive = records.labels == 1
        kinds = {"positive": positive, "negative": records.labels == 0, "unknown": np.isnan(records.labels)}
        record["labels"] = {
            name: {kind: int(mask[:, i].sum()) for kind, mask in kinds.items()}
            for i, name in enumerate(dataset.metainfo["classes"])
        }
        record["cooccurrence"] = (positive.T.astype(int) @ positive.astype(int)).tolist()
    return record


def _ages(known: np.ndarray) -> dict | None:
    if not len(known):
        return None
    return {
        "known": len(known),
        "min": float(known.min()),
        "median": float(np.median(known)),
        "max": float(known.max()),
        "histogram": np.histogram(known, np.arange(0, OLDEST + 10, 10))[0].tolist(),
    }


def statistics(datasets: Mapping[str, object], max_images: int = 500, seed: int = 0) -> dict:
    """Figures of the data sets of a config.

    Args:
        datasets: Data sets by role (``'train'``, ...). Those inside a wrapper are named ``'train[0]'``, ...
        max_images: See :func:`intensity`, for each data set.
        seed: Seed of the draw of images.

    Returns:
        sets: What :func:`describe` returns, by name; `mean` and `std` of the training images (of all images, without
        training), for the model's data_preprocessor.

    Raises:
        ValueError: If there is no data set of otcxr_mm.
    """
    leaves = {name: leaf for _, name, leaf in named_leaves(datasets) if isinstance(leaf, BaseCXRDataset)}
    if not leaves:
        raise ValueError(f"no data set of otcxr_mm among {list(datasets)}")
    sets = {name: describe(leaf, max_images, seed) for name, leaf in leaves.items()}
    trained = [record for name, record in sets.items() if name.startswith("train")] or list(sets.values())
    weights = np.array([record["images"] for record in trained]) / sum(record["images"] for record in trained)
    mean = float(weights @ [record["intensity"]["mean"] for record in trained])
    squares = [record["intensity"]["mean"] ** 2 + record["intensity"]["std"] ** 2 for record in trained]
    return {"sets": sets, "mean": mean, "std": float((weights @ squares - mean**2) ** 0.5)}
