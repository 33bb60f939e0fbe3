"""A run's metrics on each bootstrap draw of patients."""

import numpy as np

from ..evaluation.statistics.auc import bootstrap_per_class
from ..evaluation.statistics.bootstrap import DRAWS, enough_patients, interval, mean_over_classes, patient_weights
from ..evaluation.statistics.masks import patient_means
from .runs import Run

__all__ = ["DRAWS", "patient_draws", "point_and_interval", "run_draws"]


def patient_draws(run: Run, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """How often each patient counts: once each in the first row, then as they are drawn, (1 + draws, P)."""
    counts = patient_weights(run.arrays["patient"], draws, seed)
    return np.concatenate([np.ones((1, counts.shape[1]), counts.dtype), counts])


def run_draws(run: Run, metric: str, counts: np.ndarray) -> np.ndarray:
    """A metric of a run, on the test set itself and on each draw.

    Args:
        run: A run.
        metric: Of its task's.
        counts: What :func:`patient_draws` gave for the same test set.

    Returns:
        (1 + draws, 1 + K), the mean over the classes that are defined in a draw first. The draws of a class with too
        few patients for an interval are NaN.
    """
    patient = run.arrays["patient"]
    if run.task == "classification":
        labels, scores = (run.arrays[name].astype(np.float64) for name in ("labels", "scores"))
        values = bootstrap_per_class(labels, scores, patient, counts)[("auroc", "auprc").index(metric)]
        values[1:, ~enough_patients(labels, patient)] = np.nan
    else:
        values = run.arrays[metric]
        values = patient_means(values, patient, counts, np.isfinite(values))[1]
    return np.concatenate([mean_over_classes(values, np.isfinite(values[0]))[:, None], values], 1)


def point_and_interval(values: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """Value and 95 % interval of (1 + draws,), the first of which is the test set itself; None if not defined."""
    if not np.isfinite(values[0]):
        return None, None, None
    low, high = (float(end) if np.isfinite(end) else None for end in interval(values[1:]))
    return float(values[0]), low, high
