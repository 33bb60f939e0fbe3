"""Contours of true and predicted masks on their radiographs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..datasets.transforms.resize import resize
from .views import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 384  # pixels of a picture on the sheet, at most
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


def overlay_sheet(rows: dict[str, Sequence[Overlay]], classes: Sequence[str], title: str = "") -> "Figure":
    """Draws a sheet of radiographs with the contours of their masks, and the Dice coefficients below.

    Args:
        rows: Pictures of each row, by its name.
        classes: Names of the masks.
        title: Title of the sheet.

    Returns:
        A Matplotlib figure, for `savefig`.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = {name: overlays for name, overlays in rows.items() if len(overlays)}
    columns = max(map(len, rows.values()))
    # a row is as high as its tallest picture, and its captions
    lines = -(-len(classes) // 2)
    heights = [
        2.5 * max(overlay.image.shape[0] / overlay.image.shape[1] for overlay in overlays) + 0.2 + 0.16 * lines
        for overlays in rows.values()
    ]
    figure = Figure(figsize=(2.5 * columns + 0.4, sum(heights) + 0.8), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.04)
    if title:
        figure.suptitle(title, fontsize=11)
    boxes = figure.subfigures(len(rows), 1, squeeze=False, hspace=0.02, height_ratios=heights).flat
    for box, (name, overlays) in zip(boxes, rows.items(), strict=True):
        box.supylabel(name, fontsize=11)
        axes = box.subplots(1, columns, squeeze=False)[0]
        for axis in axes:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for axis, overlay in zip(axes, overlays, strict=False):
            _draw(axis, overlay, classes)
    handles = [Line2D([], [], color=TRUE, lw=2.5), Line2D([], [], color=PREDICTED, lw=2.5)]
    names = [f"true {', '.join(classes)}", "predicted"] if len(classes) < 4 else ["true", "predicted"]
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    return figure


def _draw(axis: "Axes", overlay: Overlay, classes: Sequence[str]) -> None:
    height, width = overlay.image.shape
    scale = min(1.0, SIDE / max(height, width))
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    image = resize(np.asarray(overlay.image, np.float32), height, width)
    axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    for masks, colour in ((overlay.true, TRUE), (overlay.predicted, PREDICTED)):
        for mask in masks:
            if not mask.any():
                continue
            share = resize(mask.astype(np.float32), height, width)
            if share.max() <= 0.5:  # smaller than a pixel of the sheet
                share = share / share.max()
            # an empty border closes contours at the edge of the image
            x, y = np.arange(-1, width + 1), np.arange(-1, height + 1)
            axis.contour(x, y, np.pad(share, 1), levels=[0.5], colors=[colour], linewidths=1.4)
    axis.set(xlim=(-1.5, width + 0.5), ylim=(height + 0.5, -1.5))
    if len(classes) == 1:
        text = f"Dice {overlay.dice[0]:.3f}"
    else:
        parts = [f"{name} {dice:.3f}" for name, dice in zip(classes, overlay.dice, strict=True)]
        text = "Dice " + ",\n".join(", ".join(parts[i : i + 2]) for i in range(0, len(parts), 2))
    axis.set_xlabel(text, fontsize=9)
