"""A run's metrics on the test set and on each bootstrap draw of its patients."""

import numpy as np

from ..evaluation.statistics.auc import bootstrap_per_class
from ..evaluation.statistics.bootstrap import DRAWS, enough_patients, interval, mean_over_classes, patient_weights
from ..evaluation.statistics.masks import patient_means
from .runs import Run

METRICS = {"classification": ("auroc", "auprc"), "segmentation": ("dice", "iou", "hd95")}
NAMES = {"auroc": "AUROC", "auprc": "AUPRC", "dice": "Dice", "iou": "IoU", "hd95": "HD95"}
MACRO = "macro"


def patient_draws(run: Run, draws: int = DRAWS) -> np.ndarray:
    """How often each patient counts: once in the first row, then as often as drawn, (1 + draws, P)."""
    counts = patient_weights(run.arrays["patient"], draws)
    return np.concatenate([np.ones((1, counts.shape[1]), counts.dtype), counts])


def run_draws(run: Run, metric: str, counts: np.ndarray) -> np.ndarray:
    """A metric on the test set itself and on each draw.

    Args:
        run: A run.
        metric: One of its task's metrics.
        counts: From :func:`patient_draws` for the same test set.

    Returns:
        (1 + draws, 1 + K): the mean over the defined classes, then each class. NaN in the draws of a class with too
        few patients for an interval.
    """
    patient = run.arrays["patient"]
    if run.task == "classification":
        labels, scores = (run.arrays[name].astype(np.float64) for name in ("labels", "scores"))
        values = bootstrap_per_class(labels, scores, patient, counts)[METRICS[run.task].index(metric)]
        values[1:, ~enough_patients(labels, patient)] = np.nan
    else:
        values = patient_means(run.arrays[metric], patient, counts)[1]
    return np.concatenate([mean_over_classes(values, np.isfinite(values[0]))[:, None], values], 1)


def with_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Value and 95 % interval of (1 + draws,) values, the first of which is that of the test set itself."""
    return float(values[0]), *interval(values[1:])
