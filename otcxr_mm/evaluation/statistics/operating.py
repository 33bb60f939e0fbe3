"""Where on the ROC curve a model is used: sensitivity at a specificity, and what a threshold does.

A score of at least the threshold is called positive.
"""

from collections.abc import Sequence

import numpy as np

from .auc import Steps, blocks


def sensitivity_at(labels: np.ndarray, scores: np.ndarray, specificities: Sequence[float]) -> list[float]:
    """Largest sensitivity of any threshold whose specificity is at least as given.

    Args:
        labels: (n,), 1 or 0.
        scores: (n,).
        specificities: Each in [0, 1].

    Returns:
        One per specificity; NaN without positives or without negatives.
    """
    units = np.arange(len(labels))
    return bootstrap_sensitivity(labels, scores, specificities, units, np.ones((1, len(labels))))[0].tolist()


def bootstrap_sensitivity(
    labels: np.ndarray, scores: np.ndarray, specificities: Sequence[float], patient: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """:func:`sensitivity_at` in each bootstrap draw, with thresholds of its own.

    Args:
        labels: (n,), 1 or 0.
        scores: (n,).
        specificities: S of them, each in [0, 1].
        patient: Code of each image's patient, (n,).
        counts: Weight of each patient in each draw, (draws, P).

    Returns:
        (draws, S); NaN for a draw without positives or without negatives.
    """
    found, y = np.full((len(counts), len(specificities)), np.nan), labels > 0.5
    if 0 < y.sum() < len(y):
        units, patient = np.unique(patient, return_inverse=True)
        steps = Steps(y, scores, patient, len(units))
        for block, weights in blocks(counts, units, len(steps)):
            found[block] = steps.sensitivity(weights, specificities)
    return found


def best_f1(labels: np.ndarray, scores: np.ndarray) -> float:
    """Threshold, one of the scores, with the best F1 on these images; the highest if there are several.

    Choose it on one set of images (validation) and judge it on another.

    Args:
        labels: (n,), 1 or 0.
        scores: (n,).

    Returns:
        The threshold; NaN without positives or without negatives.
    """
    order = np.argsort(-scores, kind="stable")
    y, s = labels[order] > 0.5, scores[order]
    if not 0 < y.sum() < len(y):
        return float("nan")
    last = np.append(s[1:] != s[:-1], True)  # of equal scores
    threshold, true, called = s[last], np.cumsum(y)[last], np.arange(1, len(y) + 1)[last]
    return float(threshold[np.argmax(2 * true / (called + y.sum()))])


def at_threshold(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    """F1, sensitivity, specificity, positive and negative predictive value at a threshold.

    Args:
        labels: (n,), 1 or 0.
        scores: (n,).
        threshold: Chosen on other images.

    Returns:
        f1, sensitivity, specificity, ppv, npv; NaN where the denominator is 0 (ppv if nothing is called positive).
    """
    y, called = labels > 0.5, scores >= threshold
    tp, fp, fn, tn = (int(found.sum()) for found in (y & called, ~y & called, y & ~called, ~y & ~called))
    shares = {"f1": (2 * tp, 2 * tp + fp + fn), "sensitivity": (tp, tp + fn), "specificity": (tn, tn + fp)}
    shares |= {"ppv": (tp, tp + fp), "npv": (tn, tn + fn)}
    return {name: part / whole if whole else float("nan") for name, (part, whole) in shares.items()}


def bootstrap_f1(
    labels: np.ndarray, scores: np.ndarray, threshold: float, patient: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """F1 at a threshold in each bootstrap draw.

    Args:
        labels: (n,), 1 or 0.
        scores: (n,).
        threshold: Chosen on other images.
        patient: Code of each image's patient, (n,).
        counts: Weight of each patient in each draw, (draws, P).

    Returns:
        (draws,); NaN for a draw without positives or without negatives, as for the AUROC.
    """
    y, called = labels > 0.5, scores >= threshold
    images = np.stack([y & called, y, ~y, called])
    sums = np.stack([np.bincount(patient, weights=mask, minlength=counts.shape[1]) for mask in images])
    tp, positives, negatives, alarms = (counts.astype(np.float64) @ sums.T).T
    f1 = np.full(len(counts), np.nan)
    return np.divide(2 * tp, positives + alarms, out=f1, where=(positives > 0) & (negatives > 0))
