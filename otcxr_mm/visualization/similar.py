"""Contact sheet of images beside those that look alike."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cell = tuple[np.ndarray | None, str]  # an image (H, W) on the scale 0 to 255, None if it cannot be read; what to say


def similar_sheet(rows: Sequence[tuple[Cell, Sequence[Cell]]]) -> "Figure":
    """Draws a row per query: the query, then its neighbours, nearest first.

    Args:
        rows: The query and its neighbours, each an image and the text below it.
    """
    from matplotlib.figure import Figure

    columns = 1 + max(len(neighbours) for _, neighbours in rows)
    figure = Figure(figsize=(1.9 * columns, 2.3 * len(rows) + 0.5), layout="constrained")
    figure.suptitle("Alike to this network, which is not a diagnosis", fontsize=10)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (query, neighbours) in zip(axes, rows, strict=True):
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for axis, (image, text) in zip(line, [query, *neighbours], strict=False):
            if image is None:
                axis.text(0.5, 0.5, "cannot be read", ha="center", va="center", fontsize=8)
            else:
                axis.imshow(image, cmap="gray", vmin=0, vmax=255)
            axis.set_xlabel(text, fontsize=7)
        line[0].set_title("query", fontsize=9)
    return figure
