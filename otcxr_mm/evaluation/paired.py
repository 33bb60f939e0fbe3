"""Two models on the same test images: differences of their AUROC and AUPRC, paired by patient."""

from collections.abc import Mapping, Sequence

import numpy as np

from .auc import bootstrap_per_class, per_class
from .bootstrap import DRAWS, interval, mean_defined, patient_weights
from .delong import delong_p
from .plain import number, pair

KEYS = ("sample_idx", "patient", "scores", "labels")


def compare(
    arrays_a: Mapping[str, np.ndarray],
    arrays_b: Mapping[str, np.ndarray],
    draws: int = DRAWS,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    level: float = 0.95,
) -> dict:
    """Differences a - b between two runs' predictions, in the same bootstrap draws of patients.

    Args:
        arrays_a: Of one run, as in :attr:`otcxr_mm.MultiLabelAUC.arrays`: sample_idx and patient (n,), scores and
            labels (n, C).
        arrays_b: Of the other.
        draws: Bootstrap draws.
        seed: Of the draws.
        classes: Names; default the numbers of the columns.
        level: Coverage of the intervals.

    Returns:
        Plain JSON: images, patients, draws, seed, level; macro: classes (names of those defined), auroc, auprc;
        classes, a row each: name, auroc, auprc, p_delong (which treats images as independent). Each auroc and auprc
        holds a, b, difference, interval (None if it is not defined).

    Raises:
        ValueError: If an array is missing, or the runs are not on the same images with the same labels and patients.
    """
    _same(arrays_a, arrays_b)
    labels = np.asarray(arrays_a["labels"], dtype=np.float64)
    scores = [np.asarray(arrays["scores"], dtype=np.float64) for arrays in (arrays_a, arrays_b)]
    patient = np.asarray(arrays_a["patient"])
    names = [str(c) for c in range(labels.shape[1])] if classes is None else list(classes)
    if len(names) != labels.shape[1]:
        raise ValueError(f"{len(names)} names of classes, {labels.shape[1]} columns of labels")
    counts = patient_weights(patient, draws, seed)
    values = [dict(zip(("auroc", "auprc"), per_class(labels, s), strict=True)) for s in scores]
    drawn = [
        dict(zip(("auroc", "auprc"), bootstrap_per_class(labels, s, patient, counts), strict=True)) for s in scores
    ]

    def row(metric: str, columns: list[int]) -> dict:
        a, b = (float(v[metric][columns].mean()) if columns else float("nan") for v in values)
        difference = mean_defined(drawn[0][metric][:, columns]) - mean_defined(drawn[1][metric][:, columns])
        found = pair(interval(difference, level))
        return {"a": number(a), "b": number(b), "difference": number(a - b), "interval": found}

    rows = []
    for c, name in enumerate(names):
        known = np.isfinite(labels[:, c])
        p = delong_p(labels[known, c], scores[0][known, c], scores[1][known, c])
        rows.append({"name": name, "auroc": row("auroc", [c]), "auprc": row("auprc", [c]), "p_delong": number(p)})
    defined = np.flatnonzero(np.isfinite(values[0]["auroc"])).tolist()
    macro = {"classes": [names[c] for c in defined], "auroc": row("auroc", defined), "auprc": row("auprc", defined)}
    return {
        "images": len(labels),
        "patients": len(np.unique(patient)),
        "draws": draws,
        "seed": seed,
        "level": level,
        "macro": macro,
        "classes": rows,
    }


def _same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> None:
    for which, arrays in (("first", a), ("second", b)):
        missing = [key for key in KEYS if key not in arrays]
        if missing:
            raise ValueError(
                f"the {which} run has no {', '.join(missing)}: it needs {', '.join(KEYS)}, as MultiLabelAUC gives them"
            )
    for key, what in (("sample_idx", "images"), ("labels", "classes"), ("scores", "classes")):
        if a[key].shape != b[key].shape:
            raise ValueError(f"the runs are not on the same {what}: {key} {a[key].shape} and {b[key].shape}")
    if not np.array_equal(a["sample_idx"], b["sample_idx"]):
        first = int(np.flatnonzero(a["sample_idx"] != b["sample_idx"])[0])
        raise ValueError(
            f"the runs are not on the same images: row {first} is sample_idx {a['sample_idx'][first]} and "
            f"{b['sample_idx'][first]}; test both on the same data set"
        )
    differ = ~((a["labels"] == b["labels"]) | (np.isnan(a["labels"]) & np.isnan(b["labels"])))
    if differ.any():
        image, column = (int(place[0]) for place in np.nonzero(differ))
        raise ValueError(
            f"the runs have different labels, {int(differ.sum())} of them; the first one is class {column} of "
            f"sample_idx {a['sample_idx'][image]}: {a['labels'][image, column]} and {b['labels'][image, column]}"
        )
    if not np.array_equal(a["patient"], b["patient"]):
        first = int(np.flatnonzero(a["patient"] != b["patient"])[0])
        raise ValueError(
            f"the runs have different patients, first of sample_idx {a['sample_idx'][first]}: was one of them packed "
            "without patient ids?"
        )
