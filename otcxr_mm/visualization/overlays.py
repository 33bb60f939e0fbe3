"""Contours of true and predicted masks on their radiographs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..utils.escape import plain_text
from .views import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUE, PREDICTED = reversed(COLOURS)


@dataclass(frozen=True)
class Overlay:
    """A radiograph with its masks.

    Attributes:
        image: Radiograph on the scale 0 to 255, (H, W).
        true: True masks, bool (K, H, W).
        predicted: Predicted masks, bool (K, H, W).
        dice: Dice coefficients, (K,).
    """

    image: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    dice: np.ndarray


def choose(dice: np.ndarray, pixels: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Selects images to look at among those that have a structure, or among all if none has.

    Args:
        dice: Dice coefficients, (n, K).
        pixels: Areas of the true masks, (n, K).
        count: Images of each kind, at most.

    Returns:
        Rows of the worst, the median and the best images by mean Dice, each in ascending order, without repeats.
    """
    rows = np.flatnonzero((pixels > 0).any(1))
    rows = rows if len(rows) else np.arange(len(dice))
    order = rows[np.argsort(dice[rows].mean(1), kind="stable")]
    count = min(count, -(-len(order) // 3))
    worst, rest, best = np.split(order, [count, max(len(order) - count, count)])
    start = max((len(rest) - count) // 2, 0)
    return {"worst": worst, "median": rest[start : start + count], "best": best}


@plain_text
def overlay_sheet(rows: dict[str, Sequence[Overlay]], classes: Sequence[str], title: str = "") -> "Figure":
    """Draws a sheet of radiographs with the contours of their masks, and the Dice coefficients below.

    Args:
        rows: Pictures of each row, by its name.
        classes: Names of the masks.
        title: Title of the sheet.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = {name: overlays for name, overlays in rows.items() if len(overlays)}
    columns = max(map(len, rows.values()))
    tallest = max(np.divide(*overlay.image.shape) for overlays in rows.values() for overlay in overlays)
    height = 2.5 * tallest + 0.2 + 0.16 * len(classes)
    figure = Figure(figsize=(2.5 * columns + 0.4, height * len(rows) + 0.8), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, overlays) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name, fontsize=11)
        for axis, overlay in zip(line, overlays, strict=False):
            _draw(axis, overlay, classes)
        for axis in line[len(overlays) :]:
            axis.set_axis_off()
    handles = [Line2D([], [], color=TRUE, lw=2.5), Line2D([], [], color=PREDICTED, lw=2.5)]
    figure.legend(handles, ["true", "predicted"], loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    return figure


def _draw(axis: "Axes", overlay: Overlay, classes: Sequence[str]) -> None:
    height, width = overlay.image.shape
    axis.imshow(overlay.image, cmap="gray", vmin=0, vmax=255)
    # an empty border closes contours at the edge of the image
    x, y = np.arange(-1, width + 1), np.arange(-1, height + 1)
    for masks, colour in ((overlay.true, TRUE), (overlay.predicted, PREDICTED)):
        for mask in masks:
            if mask.any():
                axis.contour(x, y, np.pad(mask, 1), levels=[0.5], colors=[colour], linewidths=1.4)
    axis.set(xlim=(-1.5, width + 0.5), ylim=(height + 0.5, -1.5), xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    lines = [f"Dice {name} {dice:.3f}" for name, dice in zip(classes, overlay.dice, strict=True)]
    axis.set_xlabel("\n".join(lines), fontsize=9)
