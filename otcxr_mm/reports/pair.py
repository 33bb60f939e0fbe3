"""Two runs on the same test set, compared by patient."""

import numpy as np

from ..evaluation.statistics.bootstrap import enough_patients
from ..evaluation.statistics.delong import delong_p
from .build import METRICS, NAMES
from .draws import DRAWS, patient_draws, point_and_interval, run_draws
from .runs import Run, check_same_test
from .text import MISSING, NO_INTERVAL


def compare_runs(a: Run, b: Run, draws: int = DRAWS, seed: int = 0) -> list[dict]:
    """Figures of two runs and their differences, paired by bootstrap draw of patients.

    Args:
        a: A run.
        b: Another one on the same test set; its arrays are brought into the order of a's images, in place.
        draws: Bootstrap draws.
        seed: Of the draws.

    Returns:
        One row a metric and class ("macro" first): metric, class, a, b, difference (a minus b), low, high, and p,
        DeLong's two-sided p for AUROC of a class; None for what is not defined, and low, high and p for a class with
        too few patients (:func:`otcxr_mm.evaluation.statistics.bootstrap.enough_patients`).

    Raises:
        ValueError: If the two were not tested on the same images, classes and labels.
    """
    check_same_test(a, b)
    counts = patient_draws(a, draws, seed)
    rows = []
    for metric in METRICS[a.task]:
        first, second = (run_draws(run, metric, counts) for run in (a, b))
        p = delong(a, b) if metric == "auroc" else {}
        for k, name in enumerate(("macro", *a.classes)):
            value, low, high = point_and_interval(first[:, k] - second[:, k])
            row = {"metric": metric, "class": name}
            row["a"], row["b"] = (point_and_interval(values[:, k])[0] for values in (first, second))
            rows.append({**row, "difference": value, "low": low, "high": high, "p": p.get(name)})
    return rows


def delong(a: Run, b: Run) -> dict[str, float | None]:
    """DeLong's p for the difference of the AUROC of each class, which takes images as independent.

    Args:
        a: A classification run.
        b: Another, tested on the same images in the same order.
    """
    found, enough = {}, enough_patients(a.arrays["labels"], a.arrays["patient"])
    for c, name in enumerate(a.classes):
        labels = a.arrays["labels"][:, c]
        known = np.isfinite(labels) & enough[c]
        p = delong_p(labels[known] > 0.5, *(run.arrays["scores"][known, c].astype(np.float64) for run in (a, b)))
        found[name] = float(p) if np.isfinite(p) else None
    return found


def _ends(row: dict) -> str:
    if row["difference"] is None:
        return ""
    return NO_INTERVAL if row["low"] is None else f" [{row['low']:+.3f}, {row['high']:+.3f}]"


def pair_rows(rows: list[dict]) -> list[list[str]]:
    """Rows of :func:`compare_runs` as text."""

    def shown(value: float | None, form: str) -> str:
        return MISSING if value is None else f"{value:{form}}"

    return [
        [
            NAMES[row["metric"]],
            row["class"],
            shown(row["a"], ".3f"),
            shown(row["b"], ".3f"),
            shown(row["difference"], "+.3f") + _ends(row),
            shown(row["p"], ".2g"),
        ]
        for row in rows
    ]
