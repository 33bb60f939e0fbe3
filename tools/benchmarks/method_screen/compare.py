"""Intervals of metrics, and of differences between methods, by bootstrap over patients."""

from collections.abc import Callable, Sequence

import numpy as np

from otcxr_mm.evaluation.statistics.auc import bootstrap_per_class
from otcxr_mm.evaluation.statistics.bootstrap import patient_codes, patient_weights

DRAWS = 2000
Arrays = dict[str, np.ndarray]


def draw_weights(patients: np.ndarray, draws: int) -> np.ndarray:
    """How often each image counts when patients are drawn with replacement.

    Args:
        patients: Patient of each image, (n,).
        draws: Number of draws.

    Returns:
        (1 + draws, n); the first row is the sample itself, all ones.
    """
    codes = patient_codes(patients)
    return np.concatenate([np.ones((1, len(codes))), patient_weights(codes, draws)[:, codes]])


def _auroc(task: str, readout: str) -> Callable[[Arrays, str, int], np.ndarray]:
    def metric(arrays: Arrays, split: str, draws: int) -> np.ndarray:
        labels, scores = (arrays[f"{task}/{split}/{name}"] for name in ("labels", readout))
        codes = patient_codes(arrays[f"{task}/{split}/patients"])
        counts = np.concatenate([np.ones((1, codes.max() + 1)), patient_weights(codes, draws)])
        return bootstrap_per_class(labels.astype(float), scores, codes, counts)[0].mean(1)

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


def _carried(column: int) -> Callable[[Arrays, str, int], np.ndarray]:
    def metric(arrays: Arrays, split: str, draws: int) -> np.ndarray:
        weights = draw_weights(arrays[f"carried/{split}/patients"], draws)
        return weights @ arrays[f"carried/{split}/dice"][:, column] / weights.sum(1)

    return metric


METRICS: dict[str, Callable[[Arrays, str, int], np.ndarray]] = {
    "kermany_linear": _auroc("kermany", "linear"),
    "kermany_knn": _auroc("kermany", "knn"),
    "nih_linear": _auroc("nih", "linear"),
    "nih_knn": _auroc("nih", "knn"),
    "nih_followup_linear": _auroc("nih_followup", "linear"),
    "nih_followup_knn": _auroc("nih_followup", "knn"),
    "lung_r2": _r2(1),
    "lung_dice": _dice(0),
    "carried_dice": _carried(0),
    "correspondence": _matched(0),
}
BASELINES = {
    "lung_r2_blind": _r2(4),
    "lung_dice_blind": _dice(3),
    "carried_dice_index": _carried(1),
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


def text_of(found: dict[str, float], sign: str = "") -> str:
    """An :func:`interval` as text, to three digits; with `sign` "+", of a difference."""
    return f"{found['value']:{sign}.3f} [{found['low']:{sign}.3f}, {found['high']:{sign}.3f}]"
