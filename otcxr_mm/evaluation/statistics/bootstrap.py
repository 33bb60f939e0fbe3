"""Intervals over patients: the bootstrap of every metric and comparison."""

from collections.abc import Mapping, Sequence

import numpy as np

DRAWS = 2000
LEVEL = 0.95
FEWEST = 10  # patients with a finding, and without it, for an interval
_BLOCK = 2**22  # numbers drawn at once: 32 MiB


def patient_codes(patient: Sequence[str]) -> np.ndarray:
    """Codes of the units to draw: patients, and each image without a patient id by itself.

    Args:
        patient: Patient id of each image, '' for unknown, (n,).

    Returns:
        int64 (n,): rank among the sorted patient ids; images without one come after them, in their order.
    """
    patient = np.asarray(patient, dtype=str)
    known = patient != ""
    names, places = np.unique(patient[known], return_inverse=True)
    codes = np.empty(len(patient), dtype=np.int64)
    codes[known] = places
    codes[~known] = len(names) + np.arange((~known).sum())
    return codes


def unit_id(sample: Mapping) -> str:
    """Patient of a data sample, distinct from patients of other collections; '' for unknown."""
    patient = sample.get("patient_id") or ""
    return f"{sample.get('collection') or ''}\n{patient}" if patient else ""


def study_id(sample: Mapping) -> str:
    """Study of a data sample, distinct from studies of other patients and collections; '' for unknown."""
    names = (sample.get(key) or "" for key in ("collection", "patient_id", "study_id"))
    return "\n".join(names) if sample.get("study_id") else ""


def patient_weights(patient: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """How often each patient occurs in each draw of as many patients, with replacement.

    The draws depend only on the number of patients and the seed, so that two models on the same images get the same.

    Args:
        patient: Code of each image's patient, from 0 to P - 1, (n,).
        draws: Number of draws.
        seed: Seed of the draws.

    Returns:
        uint16 (draws, P); an image's weight in a draw is its patient's.
    """
    units = int(np.max(patient)) + 1
    counts = np.empty((draws, units), dtype=np.uint16)
    rng, rows = np.random.default_rng(seed), max(1, _BLOCK // units)
    share = np.full(units, 1 / units)
    for start in range(0, draws, rows):
        size = min(rows, draws - start)
        counts[start : start + size] = rng.multinomial(units, share, size=size)
    return counts


def enough_patients(labels: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """Which classes have enough patients for an interval: at least 10 with the finding and 10 without.

    Draws of a handful of patients repeat the same few, so the interval is far too narrow: if the only positive image
    has the highest score, each draw has an AUROC of 1, and the interval is [1, 1].

    Args:
        labels: (n, C): 1, 0, or NaN for unknown.
        patient: Code of each image's patient, (n,). A patient may have images with the finding and images without.

    Returns:
        (C,), bool.
    """
    found = np.empty(labels.shape[1], dtype=bool)
    for c, column in enumerate(labels.T):
        units = [len(np.unique(patient[kind])) for kind in (column > 0.5, column <= 0.5)]
        found[c] = min(units) >= FEWEST
    return found


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval of bootstrap draws.

    Args:
        values: Of each draw, NaN where it is not defined, (draws,).

    Returns:
        Lower and upper end; both NaN if fewer than half of the draws are defined.
    """
    values = np.asarray(values, dtype=np.float64)
    defined = values[np.isfinite(values)]
    if not len(defined) or 2 * len(defined) < len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def mean_over_classes(values: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """Mean over the classes that are defined on the test set itself, in each draw.

    A draw without positives of one of them is left out (NaN): a mean over fewer classes is another quantity.

    Args:
        values: (draws, C), NaN where not defined.
        defined: Whether a class is defined on the test set, (C,).

    Returns:
        (draws,).
    """
    return values[:, defined].mean(1) if defined.any() else np.full(len(values), np.nan)
