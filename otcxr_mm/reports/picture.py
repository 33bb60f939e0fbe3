"""A table of runs as dots with intervals."""

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..visualization.stats import COLOURS, SHADES
from .build import Table
from .text import percent, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vPX<>ph*"


def table_picture(table: Table) -> "Figure":
    """Dots with 95 % intervals, one panel per protocol: over the fractions, or in one line per class.

    Args:
        table: With at least one figure that is defined.

    Returns:
        A matplotlib figure, for `savefig`. Methods differ in marker and colour; every second one is hollow.
    """
    from matplotlib.figure import Figure

    cells = table.cells.dropna(subset="value")
    protocols, methods = (list(dict.fromkeys(names)) for names in zip(*table.rows, strict=True))
    over_fractions = table.by == "fraction" and len(table.columns) > 1
    width = max((4.2 if over_fractions else 4.8) * len(protocols) + (0.8 if over_fractions else 2.2), 7)
    height = 4.2 if over_fractions else max(1.2 + len(table.columns) * (0.12 + 0.085 * len(methods)), 2.4)
    across = int(width / 2.8)  # methods side by side in the legend
    figure = Figure(figsize=(width, height + 0.26 * -(-len(methods) // across)), layout="constrained")
    axes = figure.subplots(1, len(protocols), sharex=True, sharey=True, squeeze=False)[0]
    for axis, protocol in zip(axes, protocols, strict=True):
        _dots(axis, table, cells[cells["protocol"] == protocol], methods, over_fractions)
        axis.set_title(protocol, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.6, axis="both" if over_fractions else "x")
        metric = table.name + (", lower is better" if table.metric == "hd95" else "")
        if over_fractions:
            _fraction_axis(axis, table.columns)
            axes[0].set_ylabel(metric)
        else:
            _line_axis(axis, [percent(c) if table.by == "fraction" else c for c in table.columns])
            axis.set_xlabel(metric)
    handles = {_wrapped(h.get_label()): h for axis in axes for h in axis.containers}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=across, fontsize=8, frameon=False)
    figure.suptitle(fill(title(table), int(width * 11)), fontsize=11)
    return figure


def _dots(axis: "Axes", table: Table, cells: pd.DataFrame, methods: list[str], over_fractions: bool) -> None:
    """The methods beside one another, within the space of a fraction or a line."""
    shown = [method for method in methods if (cells["method"] == method).any()]
    for i, method in enumerate(shown):
        own = cells[cells["method"] == method]
        aside = (i + 0.5) / len(shown) - 0.5
        # no interval, or a percentile interval that does not hold the value
        errors = np.stack([own["value"] - own["low"], own["high"] - own["value"]]).clip(0)
        style = {"label": method, "elinewidth": 1.2, **_style(methods.index(method))}
        if over_fractions:
            x = own["fraction"] * np.exp(_gap(table.columns) * 0.6 * aside)
            axis.errorbar(x, own["value"], yerr=np.nan_to_num(errors), linewidth=1.2, **style)
        else:
            y = own[table.by].map(table.columns.index) + 0.76 * aside
            axis.errorbar(own["value"], y, xerr=np.nan_to_num(errors), linestyle="none", **style)


def _style(i: int) -> dict[str, object]:
    colour = (*COLOURS, *SHADES)[i % (len(COLOURS) + len(SHADES))]
    marker = {"marker": _MARKERS[i % len(_MARKERS)], "markersize": 5, "markerfacecolor": "white" if i % 2 else colour}
    return {"color": colour, **marker}


def _gap(fractions: list[float]) -> float:
    return np.diff(np.log(fractions)).min()


def _fraction_axis(axis: "Axes", fractions: list[float]) -> None:
    axis.set_xscale("log")
    axis.set_xticks(fractions, [percent(fraction) for fraction in fractions])
    axis.minorticks_off()
    half = np.exp(_gap(fractions) / 2)
    axis.set_xlim(fractions[0] / half, fractions[-1] * half)
    axis.set_xlabel("training patients")


def _line_axis(axis: "Axes", names: list[str]) -> None:
    axis.set_yticks(range(len(names)), [_wrapped(name) for name in names], fontsize=8)
    axis.set_ylim(len(names) - 0.5, -0.5)
    for line in range(len(names) - 1):
        axis.axhline(line + 0.5, color="0.85", linewidth=0.6)


def _wrapped(name: str, width: int = 34) -> str:
    """A name in lines, which may end at an underscore."""
    return fill(name.replace("_", "_ "), width).replace("_ ", "_")
