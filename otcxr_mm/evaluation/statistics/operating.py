"""Where on the ROC curve a model is used: sensitivity at a specificity, and what a threshold does.

A score of at least the threshold is called positive.
"""

from collections.abc import Sequence

import numpy as np

from .auc import Steps, blocks


def _steps(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct scores from high to low, and the true and the false positives with each as threshold, (K,) each."""
    order = np.argsort(-scores, kind="stable")
    y, s = labels[order] > 0.5, scores[order]
    last = np.append(s[1:] != s[:-1], True)[: len(s)]
    return s[last], np.cumsum(y)[last], np.cumsum(~y)[last]


def sensitivity_at(labels: np.ndarray, scores: np.ndarray, specificities: Sequence[float]) -> list[float]:
    """Largest sensitivity of any threshold whose specificity is at least as given.

    Args:
        labels: (n,), 1 or 0.
        scores: (n,).
        specificities: Each in [0, 1].

    Returns:
        One a specificity; NaN without positives or without negatives.
    """
    _, true, false = _steps(labels, scores)
    if not len(true) or not true[-1] or not false[-1]:
        return [float("nan")] * len(specificities)
    specificity = 1 - np.append(0, false) / false[-1]
    true = np.append(0, true)  # a threshold above all scores
    # 1 - 1/10 and 0.9 may differ in the last bit
    return [float(true[specificity >= wanted - 1e-12].max() / true[-1]) for wanted in specificities]


def bootstrap_sensitivity(
    labels: np.ndarray, scores: np.ndarray, specificities: Sequence[float], patient: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """:func:`sensitivity_at` in each bootstrap draw, whose thresholds are its own.

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
    """Threshold, one of the scores, with the best F1 on these images; the highest of several.

    It is chosen on one set of images (validation) and judged on another.

    Args:
        labels: (n,), 1 or 0.
        scores: (n,).

    Returns:
        The threshold; NaN without positives or without negatives.
    """
    threshold, true, false = _steps(labels, scores)
    if not len(true) or not true[-1] or not false[-1]:
        return float("nan")
    return float(threshold[np.argmax(2 * true / (true + false + true[-1]))])


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
    tp, fp = int((y & called).sum()), int((~y & called).sum())
    fn, tn = int((y & ~called).sum()), int((~y & ~called).sum())

    def share(part: int, whole: int) -> float:
        return part / whole if whole else float("nan")

    return {
        "f1": share(2 * tp, 2 * tp + fp + fn),
        "sensitivity": share(tp, tp + fn),
        "specificity": share(tn, tn + fp),
        "ppv": share(tp, tp + fp),
        "npv": share(tn, tn + fn),
    }


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
