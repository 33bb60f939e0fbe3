"""Everything that is reported of a classifier's scores on one set of images, ready for JSON."""

from collections.abc import Mapping, Sequence

import numpy as np

from .auc import bootstrap_per_class, per_class
from .bootstrap import DRAWS, LEVEL, enough_patients, interval, mean_over_classes, patient_weights
from .calibration import BINS, calibration, uncalibrated
from .delong import delong_interval
from .operating import at_threshold, best_f1, bootstrap_f1, bootstrap_sensitivity, sensitivity_at
from .plain import number, numbers, pair
from .subgroups import subgroups

SPECIFICITIES = (0.9, 0.95)


def report(
    labels: np.ndarray,
    scores: np.ndarray,
    patient: np.ndarray,
    names: Sequence[str],
    draws: int = DRAWS,
    thresholds: Mapping[str, float | None] | None = None,
    people: Mapping[str, np.ndarray] | None = None,
) -> dict:
    """Metrics per class, their means, groups of people; intervals from the bootstrap over patients.

    An interval is given where each class that the figure covers has enough patients, see
    :func:`.bootstrap.enough_patients`.

    Args:
        labels: (n, C): 1, 0, or NaN for unknown.
        scores: (n, C); calibration is left out unless they are probabilities.
        patient: Code of each image's patient, (n,).
        names: Names of the C classes.
        draws: Bootstrap draws; 0: no intervals of the bootstrap.
        thresholds: Class to threshold, chosen on other images; a class without one has no metrics at a threshold.
        people: Attribute to its values, (n,), for :func:`.subgroups.subgroups`.

    Returns:
        draws, level; macro (classes, auroc, auprc, f1 and their `_interval`, f1_classes); classes, a row each:
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
            f"thresholds of unknown classes: {unknown}; the classes are {list(names)}: give val_evaluator the same "
            "classes, or set test_cfg = dict(type='TestLoop'), which uses no thresholds"
        )
    auroc, auprc = per_class(labels, scores)
    counts, enough = patient_weights(patient, draws), enough_patients(labels, patient)
    drawn = dict(zip(("auroc", "auprc"), bootstrap_per_class(labels, scores, patient, counts), strict=True))
    for values in drawn.values():
        values[:, ~enough] = np.nan
    reason = uncalibrated(scores[np.isfinite(labels)])
    rows, f1 = [], {}
    for c, name in enumerate(names):
        known = np.isfinite(labels[:, c])
        y, s, units = labels[known, c] > 0.5, scores[known, c], patient[known]
        own = counts if enough[c] else counts[:0]
        targets = [str(specificity) for specificity in SPECIFICITIES]
        sensitivities = bootstrap_sensitivity(y, s, SPECIFICITIES, units, own).T
        row = {
            "name": name,
            "positives": int(y.sum()),
            "negatives": int((~y).sum()),
            "unknown": int((~known).sum()),
            "prevalence": float(y.mean()) if len(y) else None,
            "auroc": number(auroc[c]),
            "auroc_interval": _interval(drawn["auroc"][:, c]),
            "auroc_delong": pair(delong_interval(y, s)) if enough[c] else None,
            "auprc": number(auprc[c]),
            "auprc_interval": _interval(drawn["auprc"][:, c]),
            "sensitivity": dict(zip(targets, numbers(sensitivity_at(y, s, SPECIFICITIES)), strict=True)),
            "sensitivity_interval": dict(zip(targets, map(_interval, sensitivities), strict=True)),
            "best_f1": number(best_f1(y, s)),
            **({"ece": None, "brier": None, "reliability": None} if reason or not len(y) else calibration(y, s)),
            "at_threshold": None,
        }
        threshold = (thresholds or {}).get(name)
        if threshold is not None:
            values = {key: number(value) for key, value in at_threshold(y, s, threshold).items()}
            at_draws = bootstrap_f1(y, s, threshold, units, own)
            row["at_threshold"] = {"threshold": float(threshold), **values, "f1_interval": _interval(at_draws)}
            if np.isfinite(auroc[c]):
                f1[c] = at_draws
        rows.append(row)
    return {
        "draws": draws,
        "level": LEVEL,
        "macro": _macro({"auroc": auroc, "auprc": auprc}, drawn, rows, f1),
        "classes": rows,
        "best_f1": {row["name"]: row["best_f1"] for row in rows},
        "calibration": {"bins": BINS, "reason": reason},
        "subgroups": subgroups(labels, scores, patient, people or {}, names, counts),
    }


def _interval(values: np.ndarray) -> list[float] | None:
    return pair(interval(values))


def _macro(
    areas: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray], rows: list[dict], f1: Mapping[int, np.ndarray]
) -> dict:
    defined = np.isfinite(areas["auroc"])
    macro = {"classes": int(defined.sum())}
    for name, values in areas.items():
        macro[name] = number(values[defined].mean()) if defined.any() else None
        macro[f"{name}_interval"] = _interval(mean_over_classes(drawn[name], defined))
    macro["f1"] = float(np.mean([rows[c]["at_threshold"]["f1"] for c in f1])) if f1 else None
    macro["f1_classes"] = len(f1)
    complete = f1 and len(set(map(len, f1.values()))) == 1  # without classes of too few patients
    macro["f1_interval"] = _interval(np.stack(list(f1.values()), 1).mean(1)) if complete else None
    return macro
