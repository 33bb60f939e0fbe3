"""Intervals of metrics, and of differences between methods, by bootstrap over patients."""

from collections.abc import Callable, Sequence

import numpy as np

DRAWS = 2000
Arrays = dict[str, np.ndarray]


def draw_weights(patients: np.ndarray, draws: int, seed: int = 0) -> np.ndarray:
    """How often each image counts when patients are drawn with replacement.

    Args:
        patients: Patient of each image, (n,).
        draws: Number of draws.
        seed: Of the draws.

    Returns:
        (1 + draws, n); the first row is the sample itself, all ones.
    """
    names, index = np.unique(patients, return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return np.concatenate([np.ones((1, len(patients))), counts[:, index]])


def weighted_auroc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC for each row of weights; ties count one half.

    Args:
        labels: (n,), bool.
        scores: (n,).
        weights: (draws, n).

    Returns:
        (draws,), NaN where a class has no weight.
    """
    order = np.argsort(scores, kind="stable")
    sorted_scores, positive, weights = scores[order], labels[order], weights[:, order]
    negatives = np.cumsum(np.where(positive, 0, weights), axis=1)
    negatives = np.concatenate([np.zeros((len(weights), 1)), negatives], axis=1)
    first = np.searchsorted(sorted_scores, sorted_scores[positive], "left")
    last = np.searchsorted(sorted_scores, sorted_scores[positive], "right")
    below = (negatives[:, first] + negatives[:, last]) / 2
    mass = weights[:, positive]
    with np.errstate(invalid="ignore", divide="ignore"):
        return (mass * below).sum(1) / (mass.sum(1) * negatives[:, -1])


def _auroc(task: str, readout: str) -> Callable[[Arrays, str, int], np.ndarray]:
    def metric(arrays: Arrays, split: str, draws: int) -> np.ndarray:
        labels, scores = arrays[f"{task}/{split}/labels"], arrays[f"{task}/{split}/{readout}"]
        weights = draw_weights(arrays[f"{task}/{split}/patients"], draws)
        return np.mean([weighted_auroc(labels[:, c], scores[:, c], weights) for c in range(labels.shape[1])], axis=0)

    return metric


def _dice(column: int) -> Callable[[Arrays, str, int], np.ndarray]:
    def metric(arrays: Arrays, split: str, draws: int) -> np.ndarray:
        weights = draw_weights(arrays[f"lungs/{split}/patients"], draws)
        return weights @ arrays[f"lungs/{split}/parts"][:, column] / weights.sum(1)

    return metric


def _r2(column: int) -> Callable[[Arrays, str, int], np.ndarray]:
    def metric(arrays: Arrays, split: str, draws: int) -> np.ndarray:
        weights = draw_weights(arrays[f"lungs/{split}/patients"], draws)
        parts = arrays[f"lungs/{split}/parts"]
        return 1 - (weights @ parts[:, column]) / (weights @ parts[:, 2])

    return metric


def _matched(column: int) -> Callable[[Arrays, str, int], np.ndarray]:
    def metric(arrays: Arrays, split: str, draws: int) -> np.ndarray:
        weights = draw_weights(arrays[f"match/{split}/patients"], draws)
        counts = arrays[f"match/{split}/counts"]
        return (weights @ counts[:, column]) / (weights @ counts[:, 3])

    return metric


METRICS: dict[str, Callable[[Arrays, str, int], np.ndarray]] = {
    "kermany_linear": _auroc("kermany", "linear"),
    "kermany_knn": _auroc("kermany", "knn"),
    "nih_linear": _auroc("nih", "linear"),
    "nih_knn": _auroc("nih", "knn"),
    "lung_r2": _r2(1),
    "lung_dice": _dice(0),
    "correspondence": _matched(0),
}
BASELINES = {
    "lung_r2_blind": _r2(4),
    "lung_dice_blind": _dice(3),
    "correspondence_index": _matched(1),
    "correspondence_chance": _matched(2),
}


def bootstrap(metric: str, seeds: Sequence[Arrays], split: str, draws: int = DRAWS) -> np.ndarray:
    """A metric averaged over seeds, first on the sample itself, then on each draw of patients, (1 + draws,).

    All methods and seeds see the same draws, so that differences of these arrays are paired.
    """
    return np.mean([{**METRICS, **BASELINES}[metric](arrays, split, draws) for arrays in seeds], axis=0)


def interval(values: np.ndarray) -> dict[str, float]:
    """Value on the sample and the 95 % percentile interval over the draws."""
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}
