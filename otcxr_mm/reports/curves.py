"""Curves of runs: sorted into groups, thinned out, and described for Vega-Lite."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .training import Training

# by name, in the order of the page; the first that matches holds a scalar, so what is particular stands first
_GROUPS = {
    "Speed and memory": r"(^|/)(time|data_time|memory|eta)$",
    "Learning rate and gradients": r"(^|[/_])lr$|^weights/|momentum|grad_norm|loss_scale|weight_decay",
    "Probe": r"probe|knn|lung|correspond",
    "Losses": r"loss",
    "Transport": r"(^|/)ot_|transport|plan|marginal|partner",
    "Features": r"feature|tokens|rank|cosine|std",
    "Validation": r"",
}
GROUPS = ("Losses", "Probe", "Validation", "Features", "Transport", "Learning rate and gradients", "Speed and memory")
# of all curves together, to bound the size of the page; and of one
_POINTS, _MOST, _FEWEST = 20_000, 300, 40
_DIGITS = 5


@dataclass
class Scalar:
    """What runs logged under one name.

    Attributes:
        name: As logged.
        group: One of :data:`GROUPS`.
        values: Values by iteration of each run, in the order of the runs; empty where it did not log this.
        parent: The name of which this is a part, such as a class of an average; None for a whole.
    """

    name: str
    group: str
    values: list[dict[int, float]]
    parent: str | None

    @property
    def is_curve(self) -> bool:
        """Whether it has a curve of its own: it changes over iterations, and is not a part of another."""
        return self.parent is None and any(len(values) > 1 for values in self.values)


def scalars(trainings: Sequence[Training]) -> list[Scalar]:
    """All that the runs logged, by group and in the order in which they logged it."""
    names = dict.fromkeys(name for training in trainings for name in training.scalars)
    found = [
        Scalar(name, _group(name), [training.scalars.get(name, {}) for training in trainings], _parent(name, names))
        for name in names
    ]
    return sorted(found, key=lambda scalar: GROUPS.index(scalar.group))


def _group(name: str) -> str:
    return next(group for group, pattern in _GROUPS.items() if re.search(pattern, name))


def _parent(name: str, names: dict[str, None]) -> str | None:
    """The longest other name that this one goes on with a slash."""
    parts = name.split("/")
    return next((parent for k in range(len(parts) - 1, 0, -1) if (parent := "/".join(parts[:k])) in names), None)


def chart_data(curves: Sequence[Scalar]) -> list[list[dict]]:
    """The points of each curve's chart: for each run, its number and the lists of iterations and values."""
    count = sum(bool(values) for curve in curves for values in curve.values)
    most = min(_MOST, max(_FEWEST, _POINTS // max(1, count)))
    return [
        [{"run": run, **thinned(values, most)} for run, values in enumerate(curve.values) if values] for curve in curves
    ]


def thinned(values: dict[int, float], most: int) -> dict[str, list]:
    """At most about `most` points of a curve; of each interval the lowest and the highest, so that no peak is lost.

    Returns:
        Iterations in `x` and values in `y`, rounded to five digits; None for a value that is not finite.
    """
    x, y = np.array(list(values), np.int64), np.array(list(values.values()), np.float64)
    if len(x) > most:
        kept = {0, len(x) - 1}
        for part in np.array_split(np.arange(len(x)), most // 2):
            bad = part[~np.isfinite(y[part])]
            good = part[np.isfinite(y[part])]
            kept |= {*bad[:1].tolist()}
            kept |= {int(good[y[good].argmin()]), int(good[y[good].argmax()])} if len(good) else set()
        x, y = x[sorted(kept)], y[sorted(kept)]
    rounded = (float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None for value in y.tolist())
    return {"x": x.tolist(), "y": list(rounded)}


def summary(values: dict[int, float]) -> str:
    """First and last value of a curve, and its range, in words; empty without values."""
    known = [value for value in values.values() if math.isfinite(value)]
    if not known:
        return "not finite" if values else ""
    if len(values) == 1:
        return f"{known[0]:.4g}"
    text = f"{known[0]:.4g} to {known[-1]:.4g}"
    low, high = min(known), max(known)
    inner = low < min(known[0], known[-1]) or high > max(known[0], known[-1])
    return f"{text} (lowest {low:.4g}, highest {high:.4g})" if inner else text
