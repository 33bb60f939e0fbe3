"""Whether a probability of 30 % means 30 of 100: calibration error, Brier score, bins of a reliability diagram."""

import numpy as np

from .plain import numbers

BINS = 15


def uncalibrated(scores: np.ndarray) -> str | None:
    """Why scores are not probabilities; None if they can be."""
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        return f"scores from {scores.min():.4g} to {scores.max():.4g} are not probabilities"
    return None


def calibration(labels: np.ndarray, scores: np.ndarray, bins: int = BINS) -> dict[str, float | dict[str, list]]:
    """Calibration of one class's probabilities.

    Args:
        labels: (n,), 1 or 0.
        scores: Probabilities of a positive, in [0, 1], (n,).
        bins: Number of bins, equally wide; a bin holds its lower edge, the last one both.

    Returns:
        ece, the expected calibration error: mean gap between confidence and frequency over the images (Guo et al.,
        ICML 2017, for the probability of a positive); brier, the mean squared difference between probability and label
        (Brier, Monthly Weather Review 1950, one of two terms); reliability: edges (bins + 1), count, confidence (mean
        score) and frequency (share of positives) of the bins, None for an empty one.
    """
    from scipy.stats import binned_statistic  # slow to import

    labels = np.asarray(labels) > 0.5
    means, edges, place = binned_statistic(scores, [scores, labels], "mean", bins, (0, 1))
    count = np.bincount(place - 1, minlength=bins)
    filled = count > 0
    gaps = np.abs(means[0] - means[1])[filled]
    shown = {"confidence": numbers(means[0]), "frequency": numbers(means[1])}
    return {
        "ece": float(gaps @ count[filled] / count.sum()),
        "brier": float(np.mean((scores - labels) ** 2)),
        "reliability": {"edges": edges.tolist(), "count": count.tolist(), **shown},
    }
