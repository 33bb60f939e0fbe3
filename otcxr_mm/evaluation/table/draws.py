"""Metrics on each bootstrap draw of patients; the only place that knows how draws are made."""

import numpy as np

DRAWS = 2000
# cells (draws x images) of one block: some hundred MiB
_BLOCK = 2**22


def patient_weights(patient: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """How often each patient is drawn when as many as there are get drawn with replacement.

    Args:
        patient: Code 0 to P-1 of each image's patient, (n,).
        draws: Number of draws.
        seed: Of the draws.

    Returns:
        (draws, P).
    """
    count = int(patient.max()) + 1
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)


def auroc_draws(labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """AUROC of each class in each draw; ties count one half.

    Args:
        labels: (n, C): 1, 0, or NaN for unknown.
        scores: (n, C).
        counts: How often each patient counts, (draws, P).
        patient: (n,).

    Returns:
        (draws, C), NaN where a class has no positives or no negatives.
    """
    return _by_class(_auroc, labels, scores, counts, patient)


def auprc_draws(labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """Average precision of each class in each draw, as :func:`auroc_draws`."""
    return _by_class(_average_precision, labels, scores, counts, patient)


def macro_auroc_draws(labels: np.ndarray, scores: np.ndarray, counts: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """Mean of :func:`auroc_draws` over the classes that a draw defines, (draws,)."""
    return known_mean(auroc_draws(labels, scores, counts, patient))


def mean_draws(values: np.ndarray, counts: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """Mean of each column over the images where it is known, in each draw.

    Args:
        values: (n, K), NaN for unknown.
        counts: (draws, P).
        patient: (n,).

    Returns:
        (draws, K), NaN where none is known.
    """
    known = np.isfinite(values)
    total = np.zeros((counts.shape[1], 2, values.shape[1]))
    np.add.at(total, patient, np.stack([np.where(known, values, 0), known], 1))
    sums = np.einsum("dp,pak->dak", counts.astype(np.float64), total, optimize=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[:, 0] / sums[:, 1]


def known_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean along an axis over what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0).sum(axis) / known.sum(axis)


def _by_class(metric, labels, scores, counts, patient) -> np.ndarray:  # noqa: ANN001
    found = np.full((len(counts), labels.shape[1]), np.nan)
    for c in range(labels.shape[1]):
        rows = np.flatnonzero(np.isfinite(labels[:, c]))
        rows = rows[np.argsort(-scores[rows, c], kind="stable")]
        if not len(rows):
            continue
        s = scores[rows, c]
        last = np.append(np.flatnonzero(s[1:] != s[:-1]), len(s) - 1)  # of each group of equal scores
        step = max(_BLOCK // len(rows), 1)
        for start in range(0, len(counts), step):
            weights = counts[start : start + step, patient[rows]].astype(np.float64)
            positive = np.cumsum(weights * (labels[rows, c] > 0.5), 1)[:, last]
            negative = np.cumsum(weights, 1)[:, last] - positive
            defined = (positive[:, -1] > 0) & (negative[:, -1] > 0)
            with np.errstate(invalid="ignore", divide="ignore"):
                values = metric(positive, negative)
            found[start : start + step, c] = np.where(defined, values, np.nan)
    return found


def _auroc(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Area under the steps of cumulated positives and negatives, (draws, thresholds) each."""
    width = np.diff(negative, axis=1, prepend=0)
    height = positive - np.diff(positive, axis=1, prepend=0) / 2
    return (width * height).sum(1) / (positive[:, -1] * negative[:, -1])


def _average_precision(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    gained = np.diff(positive, axis=1, prepend=0)
    total = positive + negative
    precision = np.divide(positive, total, out=np.zeros_like(positive), where=total > 0)
    return (gained * precision).sum(1) / positive[:, -1]
