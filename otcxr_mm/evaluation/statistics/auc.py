"""AUROC and average precision per class, of the images themselves and of many bootstrap draws at once."""

from collections.abc import Iterator, Sequence

import numpy as np

_BLOCK = 2**18  # float64 numbers of one array at a time: 2 MiB, which stay in the cache


def check(labels: np.ndarray, scores: np.ndarray) -> None:
    """Checks that metrics can be computed.

    Raises:
        ValueError: For shapes that differ, or scores that are not finite.
    """
    if labels.shape != scores.shape or labels.ndim != 2:
        raise ValueError(f"labels and scores have the same shape (n, C), got {labels.shape} and {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(
            f"{int((~np.isfinite(scores)).any(1).sum())} of {len(scores)} images have a score that is NaN "
            "or infinite: the model diverged"
        )


def per_class(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision of each class over the images whose label is known.

    Args:
        labels: (n, C): 1, 0, or NaN for unknown.
        scores: (n, C), larger means more likely.

    Returns:
        AUROC and AUPRC, (C,) each; NaN for a class that lacks positives or negatives.

    Raises:
        ValueError: For shapes that differ, or scores that are not finite.
    """
    check(labels, scores)
    from sklearn.metrics import average_precision_score, roc_auc_score  # slow to import

    auroc, auprc = np.full(labels.shape[1], np.nan), np.full(labels.shape[1], np.nan)
    for c in range(labels.shape[1]):
        known = np.isfinite(labels[:, c])
        y, s = labels[known, c] > 0.5, scores[known, c]
        if 0 < y.sum() < len(y):
            auroc[c], auprc[c] = roc_auc_score(y, s), average_precision_score(y, s)
    return auroc, auprc


def bootstrap_per_class(
    labels: np.ndarray, scores: np.ndarray, patient: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`per_class` of each bootstrap draw: what scikit-learn gives with the draw's `sample_weight`.

    Args:
        labels: (n, C): 1, 0, or NaN for unknown.
        scores: (n, C).
        patient: Code of each image's patient, (n,).
        counts: Weight of each patient in each draw, (draws, P): :func:`.bootstrap.patient_weights`.

    Returns:
        AUROC and AUPRC, (draws, C) each; NaN where a draw lacks positives or negatives of a class.

    Raises:
        ValueError: For shapes that differ, or scores that are not finite.
    """
    check(labels, scores)
    units, patient = np.unique(patient, return_inverse=True)
    auroc = np.full((len(counts), labels.shape[1]), np.nan)
    auprc = auroc.copy()
    classes = {}
    for c in range(labels.shape[1]):
        known = np.isfinite(labels[:, c])
        y = labels[known, c] > 0.5
        if 0 < y.sum() < len(y):
            classes[c] = Steps(y, scores[known, c], patient[known], len(units))
    for block, weights in blocks(counts, units, max(map(len, classes.values()), default=0)):
        for c, steps in classes.items():
            auroc[block, c], auprc[block, c] = steps.areas(weights)
    return auroc, auprc


def blocks(counts: np.ndarray, units: np.ndarray, steps: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Draws in blocks that bound the memory: which ones, and the weights (units, draws) of some patients, float64."""
    rows = max(1, _BLOCK // max(len(units), steps))
    for start in range(0, len(counts), rows):
        block = slice(start, start + rows)
        yield block, np.ascontiguousarray(counts[block][:, units].T, dtype=np.float64)


class Steps:
    """One class's images, added up over the distinct scores that a positive has ("steps", K from high to low).

    Both areas are sums over the steps: of the positives there, the negatives tied with them, and the negatives between
    this step and the one above. A sparse product turns weights of patients into weights of steps, so a draw costs one
    pass over the images and a few over K.

    Args:
        y: Whether an image is positive, (n,), both kinds among them.
        s: Scores, (n,).
        patient: Number of each image's patient, (n,).
        units: Number of patients.
    """

    def __init__(self, y: np.ndarray, s: np.ndarray, patient: np.ndarray, units: int) -> None:
        from scipy.sparse import csr_array  # slow to import

        order = np.argsort(-s, kind="stable")
        y, s, patient = y[order], s[order], patient[order]
        tie = np.concatenate([[0], np.cumsum(s[1:] != s[:-1])])
        is_step = np.bincount(tie, weights=y) > 0
        self.steps = int(is_step.sum())
        # the step that an image is on, or the next one below it; K for those below all
        step, on_step = (np.cumsum(is_step) - is_step)[tie], is_step[tie]

        def matrix(images: np.ndarray) -> csr_array:
            entries = (step[images], patient[images])
            return csr_array((np.ones(int(images.sum())), entries), shape=(self.steps, units))

        self.positives, self.tied = matrix(y), matrix(~y & on_step)
        self.between = matrix(~y & ~on_step & (step < self.steps))
        self.negatives = np.bincount(patient[~y], minlength=units).astype(np.float64)

    def __len__(self) -> int:
        return self.steps

    def curve(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Sums over steps, (K, draws), for weights of patients (units, draws), float64.

        Returns:
            Positives of each step, negatives tied with them, false positives with the step as threshold; and all
            negatives, (draws,).
        """
        positives, tied = self.positives @ weights, self.tied @ weights
        false = np.cumsum(self.between @ weights + tied, axis=0)
        return positives, tied, false, self.negatives @ weights

    def sensitivity(self, weights: np.ndarray, specificities: Sequence[float]) -> np.ndarray:
        """Largest sensitivity at each specificity, (draws, specificities); NaN for a draw without both kinds."""
        positives, _, false, negatives = self.curve(weights)
        total = positives.sum(0)
        usable = (total > 0) & (negatives > 0)
        found = np.full((len(total), len(specificities)), np.nan)
        for i, wanted in enumerate(specificities):
            allowed = false <= (1 - wanted + 1e-12) * negatives
            np.divide(np.where(allowed, positives, 0.0).sum(0), total, out=found[:, i], where=usable)
        return found

    def areas(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """AUROC and average precision, (draws,) each, for weights of patients (units, draws), float64."""
        positives, tied, false, negatives = self.curve(weights)
        true = np.cumsum(positives, axis=0)
        total = true[-1].copy()
        usable = (total > 0) & (negatives > 0)
        pairs = negatives * total - np.einsum("kb,kb->b", positives, false - tied / 2)
        auroc = np.divide(pairs, total * negatives, out=np.full(len(total), np.nan), where=usable)
        called = false + true
        precision = np.divide(true, called, out=true, where=called > 0)  # where nothing is called, no positive is
        summed = np.einsum("kb,kb->b", positives, precision)
        return auroc, np.divide(summed, total, out=np.full(len(total), np.nan), where=usable)
