"""Pictures of the demo's report."""

import json
from pathlib import Path

import cv2
import numpy as np
from demo_dense import MASK, Dense
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from mmengine.config import Config
from mmpretrain.registry import MODELS

from otcxr_mm.utils.checkpoints import latest_checkpoint
from otcxr_mm.visualization.features import pca_rgb
from otcxr_mm.visualization.plans import plan_matches
from otcxr_mm.visualization.sheets import colour_sheet, plan_sheet
from otcxr_mm.visualization.views import cropped_pairs

GREY = "#7d7d7d"  # readable on white and on black


def contact_sheet(dense: Dense, columns: int = 8, lines: int = 2) -> plt.Figure:
    """The first test images with their masks."""
    figure, axes = plt.subplots(lines, columns, figsize=(1.35 * columns, 1.35 * lines))
    for axis, image, mask in zip(axes.flat, dense.images, dense.masks, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0))
        axis.contour(_grown(mask), levels=[0.5], colors="#4dabf7", linewidths=0.8, extent=(0, 1, 0, 1))
    return _bare(figure, axes)


def curves(work: Path, titles: dict[str, str]) -> plt.Figure:
    """Losses over epochs."""
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 3))
    parts = {"loss_ot": "transport", "loss_var": "variance", "loss_cov": "covariance", "loss": "sum"}
    for axis, name in zip(axes, ("otcxr", "vicreg"), strict=True):
        points = _scalars(work / f"pretrain_{name}")
        for key, label in parts.items():
            if points and key in points[0] and (name == "otcxr" or key == "loss"):
                axis.plot([p["step"] for p in points], [p[key] for p in points], label=label)
        axis.set_title(titles[name], color=GREY)
        axis.set_xlabel("iteration", color=GREY)
        axis.set_ylim(0, 1.05 * max((p["loss"] for p in points), default=1))
        axis.tick_params(colors=GREY)
        axis.legend(frameon=False, labelcolor=GREY)
        for side, spine in axis.spines.items():
            spine.set_color(GREY)
            spine.set_visible(side in ("left", "bottom"))
    figure.tight_layout()
    return figure


def _scalars(folder: Path) -> list[dict]:
    """The logged values by iteration; those of a resumed run replace what it repeated."""
    points = {}
    for path in sorted(folder.glob("*/vis_data/scalars.json")):
        for line in path.read_text().splitlines():
            point = json.loads(line)
            if "loss" in point:
                points[point["step"]] = point
    return [points[step] for step in sorted(points)]


def plans(work: Path, cfg: Config, images: np.ndarray, shown: int = 4, counted: int = 64) -> tuple:
    """Pairs of viewpoints with their matches; the shares of right ones with and without geometry; how many pairs."""
    from mmengine.runner import load_checkpoint

    model = MODELS.build(cfg.model)
    load_checkpoint(model, latest_checkpoint(str(work / "pretrain_otcxr")), map_location="cpu")
    views, matrices = cropped_pairs(images[:counted], 0, scale=(0.3, 0.7), min_overlap=0.4)
    matches = [plan_matches(model, views, matrices, prior) for prior in (True, False)]
    shares = [found.right()[0] for found in matches]
    figure = plan_sheet(views, dict(zip(("with geometry", "features alone"), matches, strict=True)), shown)
    return figure, (*shares, len(views[0]))


def colours(dense: Dense) -> Figure:
    """Images, and below them each method's features as colours."""
    rows = {title: pca_rgb(dense.tokens[name], dense.grid) for name, title in dense.titles.items()}
    return colour_sheet(dense.images, rows)


def lungs(dense: Dense, columns: int = 8) -> plt.Figure:
    """Masks read from features over the images."""
    figure, axes = plt.subplots(len(dense.titles), columns, figsize=(1.3 * columns, 1.3 * len(dense.titles)))
    for line, (name, title) in zip(axes, dense.titles.items(), strict=True):
        for axis, image, mask, found in zip(
            line, dense.images, dense.masks, dense.probes[name].predicted, strict=False
        ):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0))
            axis.contour(_grown(mask), levels=[0.5], colors="#4dabf7", linewidths=0.8, extent=(0, 1, 0, 1))
            axis.contour(_grown(found), levels=[0.5], colors="#e03131", linewidths=0.8, extent=(0, 1, 0, 1))
        line[0].set_ylabel(title)
    return _bare(figure, axes)


def _grown(mask: np.ndarray) -> np.ndarray:
    """A mask smooth enough for a contour."""
    return cv2.resize(mask.astype(np.float32), (4 * MASK, 4 * MASK), interpolation=cv2.INTER_LINEAR)


def _bare(figure: plt.Figure, axes: np.ndarray) -> plt.Figure:
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout(pad=0.3)
    return figure
