"""Reliability diagrams: how often a finding with a score of 30 % is present."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .stats import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 5


def picture(rows: Sequence[Mapping]) -> "Figure":
    """One reliability diagram per class, with the number of images in each bin below it.

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
    figure = Figure(figsize=(2.7 * columns + 0.4, 3.5 * lines + 0.3), layout="constrained")
    heights = [3, 1] * lines
    axes = figure.subplots(2 * lines, columns, squeeze=False, sharex=True, height_ratios=heights)
    for i in range(lines * columns):
        line, column = divmod(i, columns)
        top, bottom = axes[2 * line, column], axes[2 * line + 1, column]
        if i >= len(rows):
            top.set_axis_off()
            bottom.set_axis_off()
            continue
        _draw(top, bottom, rows[i])
        if column == 0:
            top.set_ylabel("share of positives")
            bottom.set_ylabel("images")
        if i + columns >= len(rows):
            bottom.set_xlabel("score")
            bottom.tick_params(labelbottom=True)
    return figure


def _draw(top: "Axes", bottom: "Axes", row: Mapping) -> None:
    bins = row["reliability"]
    edges, count = np.asarray(bins["edges"]), np.asarray(bins["count"])
    filled = count > 0
    confidence = np.array(bins["confidence"], dtype=float)[filled]
    frequency = np.array(bins["frequency"], dtype=float)[filled]
    top.plot([0, 1], [0, 1], color="#999999", linewidth=0.9, linestyle="--")
    top.plot(confidence, frequency, color=COLOURS[0], linewidth=1)
    # a point of few images says little
    top.scatter(confidence, frequency, s=8 + 60 * count[filled] / count.max(), color=COLOURS[0], zorder=3)
    top.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    top.set_title(row["name"].replace("_", " "), fontsize=10, pad=17)
    known = row["positives"] + row["negatives"]
    note = f"ECE {row['ece']:.3f}, Brier {row['brier']:.3f}, {row['positives']}/{known} positive"
    top.text(0.5, 1.02, note, transform=top.transAxes, ha="center", va="bottom", fontsize=6.6, color="#555555")
    width = np.diff(edges)
    bottom.bar(edges[:-1], count, width, align="edge", color=COLOURS[0], edgecolor="white", linewidth=0.4)
    bottom.set_yscale("log")
    bottom.set_ylim(0.7, 2 * count.max())
    bottom.minorticks_off()
    for axis in (top, bottom):
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
