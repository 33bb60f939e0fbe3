"""Whether a probability of 30 % means 30 of 100: calibration error, Brier score, bins of a reliability diagram."""

from dataclasses import dataclass

import numpy as np

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Bins of a reliability diagram.

    Attributes:
        edges: (bins + 1,); a bin holds its lower edge, the last one both.
        count: Images, (bins,).
        confidence: Mean score, (bins,), NaN for an empty bin.
        frequency: Share of positives, (bins,), NaN for an empty bin.
    """

    edges: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    frequency: np.ndarray

    @property
    def error(self) -> float:
        """Mean gap between confidence and frequency over the images, the expected calibration error."""
        filled = self.count > 0
        gaps = np.abs(self.confidence - self.frequency)[filled]
        return float(gaps @ self.count[filled] / self.count.sum())


def uncalibrated(scores: np.ndarray) -> str | None:
    """Why scores are no probabilities; None if they can be."""
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        return f"scores from {scores.min():.4g} to {scores.max():.4g} are no probabilities"
    return None


def reliability(labels: np.ndarray, scores: np.ndarray, bins: int = BINS, equal_mass: bool = False) -> Reliability:
    """Bins of one class's probabilities.

    Args:
        labels: (n,), 1 or 0.
        scores: Probabilities of a positive, (n,).
        bins: Number of bins.
        equal_mass: Bins between quantiles of the scores, with about as many images each, instead of equally wide ones.
            Equal scores stay together, so there may be fewer bins.

    Returns:
        The bins.

    Raises:
        ValueError: Without images, or for scores outside [0, 1].
    """
    labels, scores = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    _check(labels, scores)
    edges = np.linspace(0, 1, bins + 1)
    if equal_mass:
        edges = np.unique(np.quantile(scores, edges, method="inverted_cdf"))
        edges = edges if len(edges) > 1 else np.repeat(edges, 2)
    place = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, len(edges) - 2)
    count = np.bincount(place, minlength=len(edges) - 1)

    def mean(values: np.ndarray) -> np.ndarray:
        total = np.bincount(place, weights=values, minlength=len(count))
        return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)

    return Reliability(edges, count, mean(scores), mean(labels > 0.5))


def calibration_error(labels: np.ndarray, scores: np.ndarray, bins: int = BINS, equal_mass: bool = False) -> float:
    """Mean gap between confidence and frequency over the images of one class, the expected calibration error.

    Args:
        labels: (n,), 1 or 0.
        scores: Probabilities of a positive, (n,).
        bins: Number of bins.
        equal_mass: As in :func:`reliability`.

    Raises:
        ValueError: Without images, or for scores outside [0, 1].

    Source: Guo et al., ICML 2017, for the probability of a positive.
    """
    return reliability(labels, scores, bins, equal_mass).error


def brier(labels: np.ndarray, scores: np.ndarray) -> float:
    """Mean squared difference between probability and label of one class, the Brier score.

    Args:
        labels: (n,), 1 or 0.
        scores: Probabilities of a positive, (n,).

    Raises:
        ValueError: Without images, or for scores outside [0, 1].

    Source: Brier, Monthly Weather Review 1950, for two outcomes and one of their terms.
    """
    labels, scores = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    _check(labels, scores)
    return float(np.mean((scores - (labels > 0.5)) ** 2))


def _check(labels: np.ndarray, scores: np.ndarray) -> None:
    if labels.shape != scores.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(
            f"labels and scores are (n,), of one class and at least one image, got {labels.shape}, {scores.shape}"
        )
    reason = uncalibrated(scores)
    if reason:
        raise ValueError(f"{reason}: calibration needs values in [0, 1], such as a sigmoid gives")
