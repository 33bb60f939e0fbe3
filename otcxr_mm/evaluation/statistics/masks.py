"""How well binary masks agree: overlap, distance of the contours, means over patients."""

from collections.abc import Sequence

import cv2
import numpy as np

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


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


def hd95(predicted: np.ndarray, true: np.ndarray, spacing: Sequence[float] = (1.0, 1.0)) -> float:
    """95th percentile of the Hausdorff distance between the contours of two masks.

    A contour is what erosion by a cross removes, including pixels at the image's border. The result is the larger of
    the 95th percentiles of the distances from each contour's pixels to the other contour. It equals MONAI's
    `HausdorffDistanceMetric(percentile=95)`, except for empty masks, where MONAI returns NaN.

    Args:
        predicted: (H, W), bool.
        true: (H, W), bool.
        spacing: Height and width of a pixel.

    Returns:
        In the unit of `spacing`; 0 if both masks are empty, the diagonal of the image if one is.
    """
    from scipy.spatial import cKDTree  # slow to import

    some = bool(predicted.any()), bool(true.any())
    if not all(some):
        return float(np.hypot(*np.multiply(true.shape, spacing))) if any(some) else 0.0
    x, y, width, height = cv2.boundingRect((predicted | true).astype(np.uint8))
    points = []
    for mask in (predicted, true):
        window = mask[y : y + height, x : x + width].astype(np.uint8)
        inside = cv2.erode(window, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        points.append(np.argwhere(window > inside) * np.asarray(spacing, np.float64))
    # a contour has few pixels: a tree takes a tenth of the time of a distance transform
    distances = (
        cKDTree(other, balanced_tree=False, compact_nodes=False).query(own)[0] for own, other in (points, points[::-1])
    )
    return float(max(np.percentile(values, 95) for values in distances))


def patient_means(
    values: np.ndarray, patient: np.ndarray, times: np.ndarray, chosen: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Means over images, and what they are in draws of patients with replacement.

    Args:
        values: (n, K).
        patient: (n,), codes from 0 to P - 1.
        times: (draws, P), how often each draw contains each patient.
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
