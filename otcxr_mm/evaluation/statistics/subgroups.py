"""The same metric for groups of people and of views: over the same classes, so that groups can be compared."""

from collections.abc import Mapping, Sequence

import numpy as np

from .auc import bootstrap_per_class, per_class
from .bootstrap import enough_patients, interval, mean_over_classes
from .plain import number, numbers, pair

AGES = {"0-17": (0, 18), "18-39": (18, 40), "40-59": (40, 60), "60-79": (60, 80), "80+": (80, np.inf)}  # years


def groups(attribute: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Which images belong to each group.

    Args:
        attribute: For 'age', values are years, NaN for unknown, grouped in bands; otherwise names, '' for unknown.
        values: One per image, (n,).

    Returns:
        Name of a group that has images to mask (n,); an image of unknown value is in none.
    """
    if attribute == "age":
        found = {name: (values >= low) & (values < high) for name, (low, high) in AGES.items()}
    else:
        found = {str(name): values == name for name in np.unique(values) if name != ""}
    return {name: mask for name, mask in found.items() if mask.any()}


def subgroups(
    labels: np.ndarray,
    scores: np.ndarray,
    patient: np.ndarray,
    people: Mapping[str, np.ndarray],
    names: Sequence[str],
    counts: np.ndarray,
) -> dict[str, dict | None]:
    """AUROC of each group.

    A group is shown if a class has positives and negatives in it. Groups of an attribute share the classes that are
    defined in every shown group; their macro AUROC is over these. It has an interval if each of these classes has
    enough patients in the group, see :func:`.bootstrap.enough_patients`.

    Args:
        labels: (n, C): 1, 0, or NaN for unknown.
        scores: (n, C).
        patient: Code of each image's patient, (n,).
        people: Attribute to its values, (n,): see :func:`groups`.
        names: Names of the classes.
        counts: Bootstrap draws of all patients, (draws, P).

    Returns:
        For each attribute, ready for JSON: classes (names shared), unknown (images), left_out (groups without such a
        class: images of each), groups: name to images, patients, auroc, auroc_interval, per_class (class to AUROC);
        None if the value is unknown for all images.
    """
    found = {}
    for attribute, values in people.items():
        masks = groups(attribute, values)
        areas = {name: per_class(labels[mask], scores[mask])[0] for name, mask in masks.items()}
        shown = [name for name in masks if np.isfinite(areas[name]).any()]
        shared = np.isfinite([areas[name] for name in shown]).all(0) if shown else np.zeros(len(names), bool)
        rows = {}
        for name in shown:
            mask, ends = masks[name], None
            part, units = (labels[mask][:, shared], scores[mask][:, shared]), patient[mask]
            if shared.any() and enough_patients(part[0], units).all():
                drawn, _ = bootstrap_per_class(*part, units, counts)
                ends = pair(interval(mean_over_classes(drawn, np.ones(shared.sum(), bool))))
            rows[name] = {
                "images": int(mask.sum()),
                "patients": len(np.unique(units)),
                "auroc": number(areas[name][shared].mean()) if shared.any() else None,
                "auroc_interval": ends,
                "per_class": dict(zip(names, numbers(areas[name]), strict=True)),
            }
        found[attribute] = {
            "classes": [name for name, both in zip(names, shared, strict=True) if both],
            "unknown": int(len(labels) - sum(mask.sum() for mask in masks.values())),
            "left_out": {name: int(mask.sum()) for name, mask in masks.items() if name not in shown},
            "groups": rows,
        }
    return {attribute: rows if rows["groups"] or rows["left_out"] else None for attribute, rows in found.items()}
