"""Bootstrap and its AUROC and AUPRC, with the interface of `evaluation/bootstrap.py` and `evaluation/auc.py`."""

import numpy as np

DRAWS = 2000
# cells (draws x images) of one block: some hundred MiB
_BLOCK = 2**22


def patient_weights(patient: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """How often each patient (codes 0 to P-1, (n,)) is drawn when as many get drawn with replacement, (draws, P)."""
    count = int(patient.max()) + 1
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of draws; NaN if fewer than half of them are defined."""
    defined = values[np.isfinite(values)]
    if not len(defined) or 2 * len(defined) < len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the classes that are defined in a draw, (draws, C) to (draws,)."""
    known = np.isfinite(values)
    total, number = np.where(known, values, 0.0).sum(1), known.sum(1)
    return np.divide(total, number, out=np.full(len(values), np.nan), where=number > 0)


def bootstrap_per_class(
    labels: np.ndarray, scores: np.ndarray, patient: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision of each class in each draw, (draws, C) each; NaN without positives or negatives.

    Args:
        labels: (n, C): 1, 0, or NaN for unknown.
        scores: (n, C).
        patient: (n,).
        counts: How often each patient counts, (draws, P).
    """
    auroc = np.full((len(counts), labels.shape[1]), np.nan)
    auprc = auroc.copy()
    for c in range(labels.shape[1]):
        rows = np.flatnonzero(np.isfinite(labels[:, c]))
        rows = rows[np.argsort(-scores[rows, c], kind="stable")]
        if not len(rows):
            continue
        s = scores[rows, c]
        last = np.append(np.flatnonzero(s[1:] != s[:-1]), len(s) - 1)  # of each group of equal scores
        step = max(_BLOCK // len(rows), 1)
        for start in range(0, len(counts), step):
            block = slice(start, start + step)
            weights = counts[block][:, patient[rows]].astype(np.float64)
            positive = np.cumsum(weights * (labels[rows, c] > 0.5), 1)[:, last]
            negative = np.cumsum(weights, 1)[:, last] - positive
            defined = (positive[:, -1] > 0) & (negative[:, -1] > 0)
            positive, negative = positive[defined], negative[defined]
            gained = np.diff(positive, axis=1, prepend=0)
            below = (np.diff(negative, axis=1, prepend=0) * (positive - gained / 2)).sum(1)
            drawn = positive + negative
            precision = np.divide(positive, drawn, out=np.zeros_like(positive), where=drawn > 0)
            auroc[block, c][defined] = below / (positive[:, -1] * negative[:, -1])
            auprc[block, c][defined] = (gained * precision).sum(1) / positive[:, -1]
    return auroc, auprc
