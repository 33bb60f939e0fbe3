"""Pictures and figures of the demo's runs, left where MMEngine's visualiser leaves its own, for the report."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from demo_dense import MASK, Dense, run_folder
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.visualization import LocalVisBackend
from mmpretrain.registry import MODELS

from otcxr_mm.reports.start import find_starts
from otcxr_mm.utils.checkpoints import latest_checkpoint
from otcxr_mm.visualization.features import pca_rgb
from otcxr_mm.visualization.plans import NEAR, plan_matches
from otcxr_mm.visualization.sheets import colour_sheet, pixels, plan_sheet
from otcxr_mm.visualization.views import cropped_pairs

_PAIRS = (
    "Each column shows two views of one image. Every patch that both views show is joined to the patch that receives "
    f"most of its mass: green if that is within {NEAR:g} of the image's side of the true place, else red. "
)
CAPTIONS = {
    "images": "Drawn radiographs of test patients. The outlines are their true lung masks.",
    "test_plans": f"{_PAIRS}The plan as in training, where the known geometry of the crops is part of the cost.",
    "test_plans_alone": f"{_PAIRS}The plan of features alone.",
    "test_features": "Test images, and below them their dense features, 6 x 6 tokens: the first three principal "
    "components as red, green and blue, separately for each run. Equal colours are similar features.",
    "plans": f"{_PAIRS}Recorded while training ran.",
    "features": "Drawn images, and below them their dense features as colours, recorded while training ran.",
    "lungs": "Lungs of test images, as a linear map of the frozen features finds them (red) and as drawn (blue).",
}


def record(work: Path, dense: Dense, cfg: Config) -> None:
    """Records pictures and figures in the demo's runs.

    Args:
        work: Folder of the steps.
        dense: From :func:`demo_dense.evaluate_dense`.
        cfg: Config of the pre-training with OTCXR.
    """
    for name in dense.titles:
        run = _Recorder(work / run_folder(name))
        rows = {dense.titles[name]: pca_rgb(dense.tokens[name], dense.grid)}
        run.add("test_features", colour_sheet(dense.images, rows))
        run.add("lungs", lungs(dense, name))
        run.add_scalar("lung_dice", float(dense.probes[name].dice.mean()))
    run = _Recorder(work / "pretrain_otcxr")
    run.add("images", contact_sheet(dense))
    for name, figure, share in plans(work, cfg, dense.images):
        run.add(name, figure)
        run.add_scalar(f"right_{name}", share)


class _Recorder:
    """Adds to the last start of a run, at its last iteration."""

    def __init__(self, folder: Path) -> None:
        place = find_starts(folder)[-1] / "vis_data"
        self.backend = LocalVisBackend(str(place))
        self.step = max(json.loads(line)["step"] for line in (place / "scalars.json").read_text().splitlines())

    def add(self, name: str, figure: Figure) -> None:
        """Adds a figure, and closes it."""
        self.backend.add_image(name, pixels(figure, dpi=110), self.step)
        plt.close(figure)

    def add_scalar(self, name: str, value: float) -> None:
        """Adds a number."""
        self.backend.add_scalar(name, value, self.step)


def contact_sheet(dense: Dense, columns: int = 8, lines: int = 2) -> Figure:
    """The first test images with their masks."""
    figure, axes = plt.subplots(lines, columns, figsize=(1.35 * columns, 1.35 * lines))
    for axis, image, mask in zip(axes.flat, dense.images, dense.masks, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0))
        axis.contour(_grown(mask), levels=[0.5], colors="#4dabf7", linewidths=0.8, extent=(0, 1, 0, 1))
    return _bare(figure, axes)


def plans(
    work: Path, cfg: Config, images: np.ndarray, shown: int = 4, counted: int = 64
) -> Iterator[tuple[str, Figure, float]]:
    """Pairs of views with their matches: name, picture and share of right ones, with and without known geometry."""
    from mmengine.runner import load_checkpoint

    model = MODELS.build(cfg.model)
    load_checkpoint(model, latest_checkpoint(str(work / "pretrain_otcxr")), map_location="cpu")
    views, matrices = cropped_pairs(images[:counted], 0, scale=(0.3, 0.7), min_overlap=0.4)
    for name, row, prior in (("test_plans", "with geometry", True), ("test_plans_alone", "features alone", False)):
        matches = plan_matches(model, views, matrices, prior)
        yield name, plan_sheet(views, {row: matches}, shown), matches.right()[0]


def lungs(dense: Dense, name: str, columns: int = 8) -> Figure:
    """Masks read from a method's features over the images."""
    figure, axes = plt.subplots(1, columns, figsize=(1.3 * columns, 1.3))
    for axis, image, mask, found in zip(axes, dense.images, dense.masks, dense.probes[name].predicted, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0))
        axis.contour(_grown(mask), levels=[0.5], colors="#4dabf7", linewidths=0.8, extent=(0, 1, 0, 1))
        axis.contour(_grown(found), levels=[0.5], colors="#e03131", linewidths=0.8, extent=(0, 1, 0, 1))
    return _bare(figure, axes)


def _grown(mask: np.ndarray) -> np.ndarray:
    """A mask smooth enough for a contour."""
    return cv2.resize(mask.astype(np.float32), (4 * MASK, 4 * MASK), interpolation=cv2.INTER_LINEAR)


def _bare(figure: Figure, axes: np.ndarray) -> Figure:
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout(pad=0.3)
    return figure
