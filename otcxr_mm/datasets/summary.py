"""What data sets hold: patients, labels, ages, grey values."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..utils.threads import map_in_threads
from .base import BaseCXRDataset
from .content import reader
from .inspection import named_leaves
from .records import OLDEST


def intensity(dataset: BaseCXRDataset, max_images: int = 500) -> dict:
    """Mean, standard deviation and histogram of grey values on the scale 0 to 255, each image with the same weight.

    Args:
        dataset: Its images are read as its pipeline reads them, before any resizing.
        max_images: Number of images to read, drawn at random; 0 for all.

    Returns:
        images (read), unread (broken ones among those drawn), mean, std, histogram (shares of the values 0 to 255).

    Raises:
        ValueError: If none of them can be read.
    """
    rows = np.sort(np.random.default_rng(0).permutation(len(dataset))[: max_images or None]).tolist()
    read = reader(dataset)

    def measure(row: int) -> np.ndarray | None:
        if (img := read(row)) is None:
            return None
        histogram = np.bincount(np.rint(img).clip(0, 255).astype(np.uint8).ravel(), minlength=256) / img.size
        values = img.astype(np.float64)
        return np.array([values.mean(), (values**2).mean(), *histogram])

    found = [figures for figures in map_in_threads(measure, rows, "Reading images") if figures is not None]
    if not found:
        raise ValueError(f"none of {len(rows)} images of {dataset.root} can be read")
    mean, square, *histogram = np.mean(found, 0).tolist()
    std = max(square - mean**2, 0) ** 0.5
    return {"images": len(found), "unread": len(rows) - len(found), "mean": mean, "std": std, "histogram": histogram}


def describe(dataset: BaseCXRDataset, max_images: int = 500) -> dict:
    """Figures of one data set, without any path or patient id.

    Returns:
        type, images, patients, without_id, most_images (of one patient), view and sex (counts), intensity, and what
        is known of: age (known, min, median, max, histogram of decades), labels (positive, negative, unknown for each
        class), cooccurrence (images positive for both classes).
    """
    dataset.full_init()
    records = dataset.records
    patients = pd.Series(records.patient).value_counts()
    without = int(patients.pop("")) if "" in patients else 0
    ages = records.age[np.isfinite(records.age)]
    found = {
        "type": type(dataset).__name__,
        "images": len(records),
        "patients": len(patients),
        "without_id": without,
        "most_images": int(max(patients, default=0)),
        "view": pd.Series(records.view).replace("", "unknown").value_counts().to_dict(),
        "sex": pd.Series(records.sex).replace("", "unknown").value_counts().to_dict(),
        "intensity": intensity(dataset, max_images),
    }
    if len(ages):
        found["age"] = {"known": len(ages), "min": float(ages.min()), "median": float(np.median(ages))}
        decades = np.histogram(ages, np.arange(0, OLDEST + 10, 10))[0].tolist()
        found["age"] |= {"max": float(ages.max()), "histogram": decades}
    if (labels := records.labels) is not None:
        positive = (labels == 1).astype(int)
        kinds = {"positive": positive, "negative": labels == 0, "unknown": np.isnan(labels)}
        counts = pd.DataFrame({kind: mask.sum(0) for kind, mask in kinds.items()}, dataset.metainfo["classes"])
        found |= {"labels": counts.to_dict("index"), "cooccurrence": (positive.T @ positive).tolist()}
    return found


def statistics(datasets: Mapping[str, object], max_images: int = 500) -> dict:
    """Figures of the data sets of a config.

    Args:
        datasets: Data sets by role (``'train'``, ...). Those inside a wrapper are named ``'train[0]'``, ...
        max_images: See :func:`intensity`, for each data set.

    Returns:
        sets: What :func:`describe` returns, by name; `mean` and `std` of the training images (of all images, without
        training), for the model's data_preprocessor.

    Raises:
        ValueError: If there is no data set of otcxr_mm.
    """
    leaves = [(name, leaf) for _, name, leaf in named_leaves(datasets)]
    sets = {name: describe(leaf, max_images) for name, leaf in leaves if isinstance(leaf, BaseCXRDataset)}
    if not sets:
        raise ValueError(f"no data set of otcxr_mm among {list(datasets)}")
    trained = [found for name, found in sets.items() if name.startswith("train")] or list(sets.values())
    images, means, stds = np.array([(r["images"], r["intensity"]["mean"], r["intensity"]["std"]) for r in trained]).T
    weights = images / images.sum()
    mean = float(weights @ means)
    return {"sets": sets, "mean": mean, "std": float((weights @ (means**2 + stds**2) - mean**2) ** 0.5)}
