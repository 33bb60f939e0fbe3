"""A table of runs as dots with intervals."""

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..utils.escape import plain_text
from .build import Table
from .text import percent, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vPX<>ph*"


@plain_text
def table_picture(table: Table) -> "Figure":
    """Dots with 95 % intervals: one panel per protocol, the columns of the table from left to right.

    Args:
        table: With at least one figure that is defined.

    Returns:
        A matplotlib figure, for `savefig`. Methods differ in marker and colour.
    """
    from matplotlib.figure import Figure

    cells = table.cells.dropna(subset="value")
    protocols, methods = cells["protocol"].unique().tolist(), cells["method"].unique().tolist()
    width = len(protocols) * max(4.2, len(table.columns) * (0.25 + 0.1 * len(methods)))
    figure = Figure(figsize=(max(width, 7), 4.2 + 0.2 * len(methods)), layout="constrained")
    axes = figure.subplots(1, len(protocols), sharey=True, squeeze=False)[0]
    for axis, protocol in zip(axes, protocols, strict=True):
        _panel(axis, table, cells[cells["protocol"] == protocol], methods)
        axis.set_title(protocol, fontsize=10)
    axes[0].set_ylabel(table.name + (", lower is better" if table.metric == "hd95" else ""))
    handles = {h.get_label(): h for axis in axes for h in axis.containers}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    figure.suptitle(fill(title(table), int(max(width, 7) * 11)), fontsize=11)
    return figure


def _panel(axis: "Axes", table: Table, cells: pd.DataFrame, methods: list[str]) -> None:
    """The methods beside one another within the space of a column."""
    by_fraction = table.by == "fraction"
    for i, method in enumerate(methods):
        own = cells[cells["method"] == method].sort_values("fraction", kind="stable")
        x = own[table.by].map(table.columns.index) + 0.6 * ((i + 0.5) / len(methods) - 0.5)
        # 0 for no interval, or for a percentile interval that does not hold the value
        errors = np.nan_to_num(np.stack([own["value"] - own["low"], own["high"] - own["value"]]).clip(0))
        style = {"color": f"C{i}", "marker": _MARKERS[i % len(_MARKERS)], "linestyle": "-" if by_fraction else "none"}
        axis.errorbar(x, own["value"], yerr=errors, label=method, linewidth=1.2, markersize=5, **style)
    names = [percent(column) if by_fraction else column for column in table.columns]
    axis.set_xticks(range(len(names)), names, rotation=0 if by_fraction else 90, fontsize=8)
    axis.set_xlim(-0.5, len(names) - 0.5)
    axis.set_xlabel("training patients" if by_fraction else "")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25, linewidth=0.6, axis="y")
