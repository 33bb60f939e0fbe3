"""Numbers as JSON takes them: NaN becomes None."""

import math
from collections.abc import Iterable


def number(value: float) -> float | None:
    """A float; None for NaN."""
    return float(value) if math.isfinite(value) else None


def pair(ends: tuple[float, float]) -> list[float] | None:
    """Both ends of an interval; None if it is not defined."""
    return [float(end) for end in ends] if all(map(math.isfinite, ends)) else None


def numbers(values: Iterable[float]) -> list[float | None]:
    """A list of floats, None for NaN."""
    return [number(value) for value in values]
