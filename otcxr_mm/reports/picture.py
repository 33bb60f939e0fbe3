"""A table of runs as dots with intervals."""

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from ..visualization.stats import COLOURS, SHADES
from .build import LOWER_IS_BETTER, Cell, Table, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vPX<>ph*"


def table_picture(table: Table) -> "Figure":
    """Dots with 95 % intervals: over the fractions, one panel a protocol; or rows of classes, or of methods.

    Args:
        table: With at least one figure that is defined.

    Returns:
        A matplotlib figure, for `savefig`. Methods differ in marker and colour, every second one is hollow.
    """
    from matplotlib.figure import Figure

    protocols = list(dict.fromkeys(protocol for protocol, _ in table.rows))
    methods = list(dict.fromkeys(method for _, method in table.rows))
    styles = {method: _style(i) for i, method in enumerate(methods)}
    over_fractions = table.by == "fraction" and len(table.columns) > 1
    if over_fractions:
        height, width, draw = 4.2, 4.2, _draw_fractions
    elif table.by == "fraction":
        height, width, draw = 1.2 + 0.3 * len(methods), 4.6, _draw_methods
    else:
        height, width, draw = 1.2 + len(table.columns) * (0.12 + 0.085 * len(methods)), 4.8, _draw_classes
    names = 0.8 if over_fractions else 2.2  # left of the panels
    width = max(width * len(protocols) + names, 7)
    legend = draw is not _draw_methods
    across = max(int(width / 2.8), 1)
    height += 0.26 * -(-len(methods) // across) if legend else 0
    figure = Figure(figsize=(width, max(height, 2.6)), layout="constrained")
    axes = figure.subplots(1, len(protocols), sharex=True, sharey=True, squeeze=False)[0]
    for axis, protocol in zip(axes, protocols, strict=True):
        draw(axis, table, protocol, styles)
        if protocol or len(protocols) > 1:
            axis.set_title(protocol or "no protocol", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.6)
    axes[0].set_ylabel(_metric(table) if over_fractions else "")
    if legend:
        handles = {h.get_label(): h for axis in axes for h in axis.containers}
        labels = [m for m in methods if m in handles]
        figure.legend(
            [handles[m] for m in labels],
            [_wrapped(m) for m in labels],
            loc="outside lower center",
            ncols=across,
            fontsize=8,
            frameon=False,
        )
    figure.suptitle(fill(table.title, int(width * 11)), fontsize=11)
    return figure


def _wrapped(name: str, width: int = 34) -> str:
    """A name in lines, which may end at an underscore."""
    return fill(name.replace("_", "_ "), width).replace("_ ", "_")


def _metric(table: Table) -> str:
    return table.name + (", lower is better" if table.metric in LOWER_IS_BETTER else "")


def _style(i: int) -> dict:
    colour = (*COLOURS, *SHADES)[i % (len(COLOURS) + len(SHADES))]
    return {
        "color": colour,
        "marker": _MARKERS[i % len(_MARKERS)],
        "markerfacecolor": "white" if i % 2 else colour,
        "markersize": 5.5,
        "linewidth": 1.2,
        "elinewidth": 1.2,
    }


def _errors(cells: list[Cell]) -> np.ndarray:
    """Lengths of the intervals below and above, (2, n)."""
    ends = [(c.value if c.low is None else c.low, c.value if c.high is None else c.high) for c in cells]
    # a percentile interval need not hold the value
    return np.array([[max(c.value - a, 0), max(b - c.value, 0)] for c, (a, b) in zip(cells, ends, strict=True)]).T


def _defined(table: Table, protocol: str, method: str) -> dict[float | str, Cell]:
    found = {column: table.cells.get((protocol, method, column)) for column in table.columns}
    return {column: cell for column, cell in found.items() if cell is not None and cell.value is not None}


def _of(table: Table, protocol: str) -> list[str]:
    return [method for p, method in table.rows if p == protocol and _defined(table, p, method)]


def _draw_fractions(axis: "Axes", table: Table, protocol: str, styles: dict) -> None:
    methods = _of(table, protocol)
    gap = min(np.diff(np.log(table.columns)))
    for i, method in enumerate(methods):
        cells = _defined(table, protocol, method)
        shift = np.exp(gap * 0.6 * ((i + 0.5) / len(methods) - 0.5))  # side by side
        values = [cell.value for cell in cells.values()]
        x = np.array(list(cells), float) * shift
        axis.errorbar(x, values, _errors(list(cells.values())), label=method, **styles[method])
    axis.set_xscale("log")
    axis.set_xticks(table.columns, [percent(fraction) for fraction in table.columns])
    axis.minorticks_off()
    axis.set_xlim(table.columns[0] * np.exp(-gap / 2), table.columns[-1] * np.exp(gap / 2))
    axis.set_xlabel("training patients")


def _draw_methods(axis: "Axes", table: Table, protocol: str, styles: dict) -> None:
    rows = list(dict.fromkeys(method for _, method in table.rows))
    for method in _of(table, protocol):
        (cell,) = _defined(table, protocol, method).values()
        axis.errorbar([cell.value], [rows.index(method)], xerr=_errors([cell]), **styles[method])
    axis.set_yticks(range(len(rows)), [_wrapped(method) for method in rows], fontsize=8)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlabel(_metric(table))


def _draw_classes(axis: "Axes", table: Table, protocol: str, styles: dict) -> None:
    methods = _of(table, protocol)
    places = {column: i for i, column in enumerate(table.columns)}
    for i, method in enumerate(methods):
        cells = _defined(table, protocol, method)
        shift = 0.76 * ((i + 0.5) / len(methods) - 0.5)
        y = [places[column] + shift for column in cells]
        style = {**styles[method], "linestyle": "none", "markersize": 4}
        axis.errorbar([c.value for c in cells.values()], y, xerr=_errors(list(cells.values())), label=method, **style)
    axis.set_yticks(range(len(places)), [_wrapped(str(c)) for c in places], fontsize=8)
    axis.set_ylim(len(places) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")
    for line in range(len(places) - 1):
        axis.axhline(line + 0.5, color="0.85", linewidth=0.6)
    axis.set_xlabel(_metric(table))
