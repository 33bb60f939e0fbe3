"""Reliability diagrams: how often a finding with a score of 30 % is present."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from ..utils.escape import plain_text
from .stats import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 5


@plain_text
def picture(rows: Sequence[Mapping]) -> "Figure":
    """One reliability diagram per class, with a point per bin whose area shows the number of images.

    Args:
        rows: ``details['classes']`` of :class:`otcxr_mm.MultiLabelAUC`; a class without bins is left out.

    Returns:
        A matplotlib figure, for `savefig`.

    Raises:
        ValueError: If no class has bins.
    """
    from matplotlib.figure import Figure

    rows = [row for row in rows if row["reliability"]]
    if not rows:
        raise ValueError("no class has bins of calibration: the scores are not probabilities")
    columns = min(len(rows), _COLUMNS)
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(2.7 * columns + 0.4, 2.9 * lines + 0.3), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axis, row in zip(axes, rows, strict=False):
        _draw(axis, row)
    for axis in axes[len(rows) :]:
        axis.set_axis_off()
    figure.supxlabel("score")
    figure.supylabel("share of positives")
    return figure


def _draw(axis: "Axes", row: Mapping) -> None:
    bins = pd.DataFrame({key: row["reliability"][key] for key in ("count", "confidence", "frequency")})
    bins = bins[bins["count"] > 0]
    axis.plot([0, 1], [0, 1], color="#999999", linewidth=0.9, linestyle="--")
    axis.plot(bins["confidence"], bins["frequency"], color=COLOURS[0], linewidth=1)
    # a point of few images says little
    axis.scatter(bins["confidence"], bins["frequency"], 8 + 60 * bins["count"] / bins["count"].max(), COLOURS[0])
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    known = row["positives"] + row["negatives"]
    note = f"ECE {row['ece']:.3f}, Brier {row['brier']:.3f}\n{row['positives']} of {known} positive"
    axis.set_title(f"{row['name'].replace('_', ' ')}\n{note}", fontsize=8)
