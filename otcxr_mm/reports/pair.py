"""Two runs on the same test set, compared by patient."""

import numpy as np

from ..evaluation.statistics.bootstrap import enough_patients
from ..evaluation.statistics.delong import delong_p
from ..evaluation.statistics.plain import number
from .draws import DRAWS, MACRO, METRICS, patient_draws, run_draws, with_interval
from .runs import Run, check_same_test


def compare_runs(a: Run, b: Run, draws: int = DRAWS) -> list[dict]:
    """Compares two runs with the same bootstrap draws of patients.

    Args:
        a: A run.
        b: Another run on the same test set.
        draws: Bootstrap draws.

    Returns:
        One row per metric and class ("macro" first): metric, class, a, b, difference (a minus b), low, high, and p,
        DeLong's two-sided p for the AUROC of a class. None for what is not defined; low, high and p also for a class
        with too few patients (:func:`otcxr_mm.evaluation.statistics.bootstrap.enough_patients`).

    Raises:
        ValueError: If the two were not tested on the same images, classes, labels and patients.
    """
    check_same_test(a, b)
    counts = patient_draws(a, draws)
    rows = []
    for metric in METRICS[a.task]:
        first, second = (run_draws(run, metric, counts) for run in (a, b))
        p = _delong(a, b) if metric == "auroc" else {}
        for k, name in enumerate((MACRO, *a.classes)):
            difference, low, high = with_interval(first[:, k] - second[:, k])
            figures = {"a": first[0, k], "b": second[0, k], "difference": difference, "low": low, "high": high}
            figures["p"] = p.get(name, np.nan)
            rows.append({"metric": metric, "class": name, **{key: number(value) for key, value in figures.items()}})
    return rows


def _delong(a: Run, b: Run) -> dict[str, float]:
    """DeLong's p for each class with enough patients; images count as independent."""
    found, enough = {}, enough_patients(a.arrays["labels"], a.arrays["patient"])
    for c in np.flatnonzero(enough):
        labels = a.arrays["labels"][:, c]
        known = np.isfinite(labels)
        scores = (run.arrays["scores"][known, c].astype(np.float64) for run in (a, b))
        found[a.classes[c]] = delong_p(labels[known] > 0.5, *scores)
    return found
