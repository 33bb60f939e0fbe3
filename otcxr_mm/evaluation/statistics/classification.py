"""Everything that is reported of a classifier's scores on one set of images, as plain JSON."""

from collections.abc import Mapping, Sequence

import numpy as np

from .auc import bootstrap_per_class, per_class
from .bootstrap import DRAWS, enough_patients, interval, mean_over_classes, patient_weights
from .calibration import BINS, brier, reliability, uncalibrated
from .delong import delong_interval
from .operating import at_threshold, best_f1, bootstrap_f1, bootstrap_sensitivity, sensitivity_at
from .plain import number, numbers, pair
from .subgroups import subgroups

LEVEL = 0.95


def report(
    labels: np.ndarray,
    scores: np.ndarray,
    patient: np.ndarray,
    names: Sequence[str],
    draws: int = DRAWS,
    seed: int = 0,
    specificities: Sequence[float] = (0.9, 0.95),
    thresholds: Mapping[str, float | None] | None = None,
    people: Mapping[str, np.ndarray] | None = None,
) -> dict:
    """Metrics per class, their means, groups of people; intervals from the bootstrap over patients.

    An interval is given where each class that the figure covers has enough patients, see
    :func:`.bootstrap.enough_patients`.

    Args:
        labels: (n, C): 1, 0, or NaN for unknown.
        scores: (n, C); probabilities, or calibration is left out.
        patient: Code of each image's patient, (n,).
        names: Of the classes, C.
        draws: Bootstrap draws; 0: no intervals of the bootstrap.
        seed: Of the draws.
        specificities: At which sensitivity is given.
        thresholds: Class to threshold, chosen on other images; None, or a class without one: nothing at a threshold.
        people: Attribute to its values, (n,), for :func:`.subgroups.subgroups`.

    Returns:
        draws, seed, level; macro (classes, auroc, auprc, f1 and their `_interval`, f1_classes); classes, a row each:
        name, positives, negatives, unknown, prevalence, auroc, auroc_interval, auroc_delong (interval), auprc,
        auprc_interval, sensitivity and sensitivity_interval (at each specificity), best_f1 (threshold, on these
        images), ece, brier, reliability (edges, count, confidence, frequency), at_threshold (threshold, f1,
        f1_interval, sensitivity, specificity, ppv, npv); best_f1 (class to threshold); calibration (bins, reason if
        there is none); subgroups. None for what is not defined, and for an interval of too few patients.

    Raises:
        ValueError: For shapes that differ, scores that are not finite, or a threshold of an unknown class.
    """
    unknown = sorted(set(thresholds or ()) - set(names))
    if unknown:
        raise ValueError(
            f"thresholds of classes that there are not: {unknown}; the classes are {list(names)}: "
            "give val_evaluator the same classes, or take test_cfg = dict(type='TestLoop'), which chooses none"
        )
    names = list(names)
    auroc, auprc = per_class(labels, scores)
    counts = patient_weights(patient, draws, seed) if draws else None
    enough, drawn = enough_patients(labels, patient), {}
    if draws:
        for name, values in zip(("auroc", "auprc"), bootstrap_per_class(labels, scores, patient, counts), strict=True):
            values[:, ~enough] = np.nan
            drawn[name] = values
    reason = uncalibrated(scores[np.isfinite(labels)])
    targets = [str(float(value)) for value in specificities]
    rows, f1 = [], {}
    for c, name in enumerate(names):
        known = np.isfinite(labels[:, c])
        y, s = labels[known, c] > 0.5, scores[known, c]
        row = {
            "name": name,
            "positives": int(y.sum()),
            "negatives": int((~y).sum()),
            "unknown": int((~known).sum()),
            "prevalence": float(y.mean()) if len(y) else None,
            "auroc": number(auroc[c]),
            "auroc_interval": pair(interval(drawn["auroc"][:, c], LEVEL)) if draws else None,
            "auroc_delong": pair(delong_interval(y, s, LEVEL)) if enough[c] else None,
            "auprc": number(auprc[c]),
            "auprc_interval": pair(interval(drawn["auprc"][:, c], LEVEL)) if draws else None,
            "sensitivity": dict(zip(targets, numbers(sensitivity_at(y, s, specificities)), strict=True)),
            "sensitivity_interval": None,
            "best_f1": number(best_f1(y, s)),
            **_calibration(y, s, reason),
            "at_threshold": None,
        }
        if draws:
            row["sensitivity_interval"] = dict.fromkeys(targets)
        if draws and enough[c]:
            ends = bootstrap_sensitivity(y, s, specificities, patient[known], counts)
            row["sensitivity_interval"] = {t: pair(interval(e, LEVEL)) for t, e in zip(targets, ends.T, strict=True)}
        threshold = (thresholds or {}).get(name)
        if threshold is not None:
            values = {key: number(value) for key, value in at_threshold(y, s, threshold).items()}
            row["at_threshold"] = {"threshold": float(threshold), **values, "f1_interval": None}
            if np.isfinite(auroc[c]):
                f1[c] = np.zeros(0)
            if np.isfinite(auroc[c]) and draws:
                f1[c] = bootstrap_f1(y, s, threshold, patient[known], counts) if enough[c] else np.full(draws, np.nan)
                row["at_threshold"]["f1_interval"] = pair(interval(f1[c], LEVEL))
        rows.append(row)
    return {
        "draws": draws,
        "seed": seed,
        "level": LEVEL,
        "macro": _macro(auroc, auprc, drawn, rows, f1),
        "classes": rows,
        "best_f1": {row["name"]: row["best_f1"] for row in rows},
        "calibration": {"bins": BINS, "reason": reason},
        "subgroups": subgroups(labels, scores, patient, people or {}, names, counts, LEVEL),
    }


def _calibration(y: np.ndarray, s: np.ndarray, reason: str | None) -> dict:
    if reason or not len(y):
        return {"ece": None, "brier": None, "reliability": None}
    bins = reliability(y, s)
    shown = {
        "edges": bins.edges.tolist(),
        "count": bins.count.tolist(),
        "confidence": numbers(bins.confidence),
        "frequency": numbers(bins.frequency),
    }
    return {"ece": bins.error, "brier": brier(y, s), "reliability": shown}


def _macro(auroc: np.ndarray, auprc: np.ndarray, drawn: dict, rows: list[dict], f1: dict[int, np.ndarray]) -> dict:
    defined = np.isfinite(auroc)
    macro = {"classes": int(defined.sum())}
    for name, values in (("auroc", auroc), ("auprc", auprc)):
        macro[name] = number(values[defined].mean()) if defined.any() else None
        macro[f"{name}_interval"] = None
        if drawn:
            macro[f"{name}_interval"] = pair(interval(mean_over_classes(drawn[name], defined), LEVEL))
    macro["f1"] = float(np.mean([rows[c]["at_threshold"]["f1"] for c in f1])) if f1 else None
    macro["f1_classes"] = len(f1)
    macro["f1_interval"] = None
    if f1 and drawn:
        all_of_them = np.ones(len(f1), dtype=bool)
        macro["f1_interval"] = pair(interval(mean_over_classes(np.stack(list(f1.values()), 1), all_of_them), LEVEL))
    return macro
