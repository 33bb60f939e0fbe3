"""How well binary masks agree: overlap, distance of the contours, means over patients."""

from collections.abc import Sequence

import numpy as np


def overlap(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dice coefficient and intersection over union.

    Args:
        predicted: (K, H, W), bool.
        true: (K, H, W), bool.

    Returns:
        Dice and IoU, (K,) float64 each: 1 where both masks are empty, 0 where one is.
    """
    axes = (-2, -1)
    common = np.count_nonzero(predicted & true, axis=axes)
    total = np.count_nonzero(predicted, axis=axes) + np.count_nonzero(true, axis=axes)
    dice = np.where(total, 2 * common / np.maximum(total, 1), 1.0)
    return dice, np.where(total, common / np.maximum(total - common, 1), 1.0)


def _window(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that a mask lies in."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _contour(mask: np.ndarray) -> np.ndarray:
    """Row and column of the pixels that erosion by a cross takes away, (points, 2); outside of the mask is empty."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(mask & ~inside)


def hd95(predicted: np.ndarray, true: np.ndarray, spacing: Sequence[float] = (1.0, 1.0)) -> float:
    """95th percentile of the Hausdorff distance between the contours of two masks.

    A contour is what erosion by a cross takes away, pixels at the image's border included. Of either contour the
    distances of its pixels to the other are taken, and their 95th percentile; the greater of the two counts. This is
    MONAI's `HausdorffDistanceMetric(percentile=95)`, but for empty masks, where MONAI's is NaN.

    Args:
        predicted: (H, W), bool.
        true: (H, W), bool.
        spacing: Height and width of a pixel.

    Returns:
        In the unit of `spacing`; 0 if both masks are empty, the diagonal of the image if one is.
    """
    from scipy.spatial import cKDTree  # half a second, only where needed

    some = bool(predicted.any()), bool(true.any())
    if not all(some):
        height, width = true.shape
        return float(np.hypot(height * spacing[0], width * spacing[1])) if any(some) else 0.0
    window = _window(predicted | true)  # outside of it both are empty
    predicted, true = (_contour(mask[window]) * np.asarray(spacing, np.float64) for mask in (predicted, true))
    # a contour has few pixels: a tree takes a tenth of the time of a distance transform
    trees = [cKDTree(points, balanced_tree=False, compact_nodes=False) for points in (true, predicted)]
    to_other = [tree.query(points)[0] for tree, points in zip(trees, (predicted, true), strict=True)]
    return float(max(np.percentile(distances, 95) for distances in to_other))


def patient_means(
    values: np.ndarray, patient: np.ndarray, times: np.ndarray, chosen: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Means over images, and what they are in draws of patients with replacement.

    Args:
        values: (n, K).
        patient: (n,), codes, 0 to P - 1.
        times: (draws, P), how often each draw holds each patient.
        chosen: (n, K), bool: the images that count for each class; None: all.

    Returns:
        Mean of each class, (K,), and in each draw, (draws, K); NaN where no image counts.
    """
    weight = np.ones(values.shape) if chosen is None else chosen.astype(np.float64)
    sums, sizes = np.zeros((2, times.shape[1], values.shape[1]))
    np.add.at(sums, patient, np.where(weight > 0, values, 0))
    np.add.at(sizes, patient, weight)
    times = times.astype(np.float64, copy=False)  # integers are multiplied ten times as slowly
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums.sum(0) / sizes.sum(0), (times @ sums) / (times @ sizes)
