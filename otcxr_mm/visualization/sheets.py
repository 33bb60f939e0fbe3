"""Sheets of plans and of features, as a training or a report shows them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from ..models import OTCXR, OTHead
from .features import backbone_tokens, pca_rgb
from .plans import NEAR, Matches, draw_matches, plan_matches

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plan_sheet(views: tuple[np.ndarray, np.ndarray], rows: Mapping[str, Matches], count: int = 4) -> "Figure":
    """Draws some pairs of views with their matches: green within `NEAR` of the true place, red elsewhere.

    Args:
        views: Both views of B images, (B, H, W).
        rows: Matches of these views by what to write beside them, one row each.
        count: Number of pairs, the first ones.
    """
    from matplotlib.figure import Figure

    count = min(count, len(views[0]))
    figure = Figure(figsize=(2.9 * count, 1.6 * len(rows)))
    for axes, (title, matches) in zip(figure.subplots(len(rows), count, squeeze=False), rows.items(), strict=True):
        for k, axis in enumerate(axes):
            draw_matches(axis, views[0][k], views[1][k], matches, k, NEAR)
        axes[0].text(-0.02, 0.5, title, transform=axes[0].transAxes, rotation=90, ha="right", va="center", fontsize=9)
    figure.tight_layout(pad=0.4)
    return figure


def colour_sheet(images: np.ndarray, rows: Mapping[str, np.ndarray], count: int = 8) -> "Figure":
    """Draws some images, and below them features as colours.

    Args:
        images: (n, H, W), on the scale 0 to 255.
        rows: Colours (n, h, w, 3) from :func:`.features.pca_rgb` by what to write beside them, one row each.
        count: Number of images, the first ones.
    """
    from matplotlib.figure import Figure

    count = min(count, len(images))
    figure = Figure(figsize=(1.3 * count, 1.3 * (1 + len(rows))))
    axes = figure.subplots(1 + len(rows), count, squeeze=False)
    for axis, image in zip(axes[0], images, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    for line, (title, colours) in zip(axes[1:], rows.items(), strict=True):
        for axis, picture in zip(line, colours, strict=False):
            axis.imshow(picture)
        line[0].set_ylabel(title)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.tight_layout(pad=0.3)
    return figure


def training_pictures(
    model: nn.Module, views: tuple[np.ndarray, np.ndarray], matrices: Tensor | None, draw: bool = True
) -> dict[str, np.ndarray]:
    """Pictures of a model in training, which is set to evaluation mode: features as colours, and plans.

    Args:
        model: A self-supervised model whose backbone returns feature maps; OTCXR for plans.
        views: Two views of some images, (n, H, W) each.
        matrices: `view_to_image` of both views, (n, 2, 2, 3); None: no plans.
        draw: Whether to draw: in distributed training all processes must compute.

    Returns:
        `features` and `plans`, uint8 RGB (H, W, 3).
    """
    rows = {}
    if matrices is not None and isinstance(model, OTCXR) and isinstance(model.head, OTHead):
        head = model.head
        kinds = {"with geometry": True} if head.one_image.prior_scale is not None else {}
        for title, prior in {**kinds, "features alone": False}.items():
            rows[title] = plan_matches(model, views, matrices, prior, infused=not head.guard)
    if not draw:
        return {}
    tokens, grid = backbone_tokens(model.backbone, model.data_preprocessor, views[0])
    figures = {"features": colour_sheet(views[0], {"features": pca_rgb(tokens, grid)})}
    if rows:
        figures["plans"] = plan_sheet(views, rows)
    return {name: pixels(figure) for name, figure in figures.items()}


def pixels(figure: "Figure", dpi: int = 80) -> np.ndarray:
    """A figure as an image, uint8 RGB (H, W, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
