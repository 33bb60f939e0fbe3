"""Variance of AUROCs without resampling, after DeLong et al. (1988), in n log n after Sun and Xu (2014).

It treats images as independent. If patients have several images, its intervals are too narrow: report those of the
bootstrap over patients (:mod:`.bootstrap`) instead.
"""

import math

import numpy as np

from .bootstrap import LEVEL

_NOTHING = 1e-20  # a variance this small is rounding


def delong(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROCs of several models on the same images, and their covariance; images count as independent.

    Args:
        labels: (n,), 1 or 0 (or bool).
        scores: (k, n), one row per model.

    Returns:
        AUROCs, (k,), NaN without positives or without negatives; covariance, (k, k), NaN with fewer than two of either.

    Raises:
        ValueError: For scores that are not finite, or labels that are unknown.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if not (np.isfinite(scores).all() and np.isfinite(labels.astype(np.float64)).all()):
        raise ValueError("scores must be finite and labels known: use only images with a label")
    from scipy.stats import rankdata  # slow to import

    positive = labels > 0.5
    m, n = int(positive.sum()), int((~positive).sum())
    k = len(scores)
    if not m or not n:
        return np.full(k, np.nan), np.full((k, k), np.nan)
    ranks = rankdata(scores, axis=1)
    # share of the negatives below each positive, and of the positives above each negative; ties count half
    below = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / n
    above = 1 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / m
    if m < 2 or n < 2:
        return below.mean(1), np.full((k, k), np.nan)
    return below.mean(1), np.cov(below).reshape(k, k) / m + np.cov(above).reshape(k, k) / n


def delong_interval(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Normal 95 % interval of one AUROC, clipped to [0, 1]; images count as independent.

    At an AUROC of 0 or 1 its width is zero, however few the images.

    Args:
        labels: (n,), 1 or 0.
        scores: (n,).

    Returns:
        Lower and upper end, NaN with fewer than two positives or negatives.
    """
    from scipy.stats import norm  # slow to import

    auroc, covariance = delong(labels, np.asarray(scores)[None])
    half = norm.ppf((1 + LEVEL) / 2) * np.sqrt(max(covariance[0, 0], 0.0) if np.isfinite(covariance[0, 0]) else np.nan)
    return float(np.clip(auroc[0] - half, 0, 1)), float(np.clip(auroc[0] + half, 0, 1))


def delong_p(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p value of the difference between two models' AUROCs; images count as independent.

    Args:
        labels: (n,), 1 or 0.
        first: Scores of one model, (n,).
        second: Scores of the other model, (n,).

    Returns:
        p; 1 for equal AUROCs without variance, NaN for a difference without variance or of unknown variance.
    """
    auroc, covariance = delong(labels, np.stack([first, second]))
    difference = auroc[0] - auroc[1]
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if not np.isfinite(variance):
        return float("nan")
    if variance <= _NOTHING:
        return 1.0 if abs(difference) <= math.sqrt(_NOTHING) else float("nan")
    return math.erfc(abs(difference) / math.sqrt(2 * variance))
