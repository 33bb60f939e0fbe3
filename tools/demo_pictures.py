"""Pictures and figures of the demo's runs, left where MMEngine's visualiser leaves its own, for the report."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from demo_dense import MASK, SIZE, Dense, run_folder
from matplotlib import pyplot as plt
from mmengine.config import Config
from mmengine.visualization import LocalVisBackend
from mmpretrain.registry import MODELS

from otcxr_mm.datasets import PhotometricCXR, TwoViewCrop
from otcxr_mm.reports.start import find_starts
from otcxr_mm.utils.checkpoints import latest_checkpoint
from otcxr_mm.visualization.features import pca_rgb
from otcxr_mm.visualization.plans import draw_matches, plan_matches

NEAR = 0.15
_PAIRS = (
    "Each column shows two views of one image. Every patch that both views show is joined to the patch that receives "
    f"most of its mass: green if that is within {NEAR:g} of the image's side of the true place, else red. "
)
CAPTIONS = {
    "images": "Drawn radiographs of test patients. The outlines are their true lung masks.",
    "plans": f"{_PAIRS}The plan as in training, where the known geometry of the crops is part of the cost and decides.",
    "plans_without_prior": f"{_PAIRS}The plan of features alone.",
    "features": "Test images, and below them their dense features, 6 x 6 tokens: the first three principal components "
    "as red, green and blue, separately for each run. Equal colours are similar features.",
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
        run.add("features", colours(dense, name))
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

    def add(self, name: str, figure: plt.Figure) -> None:
        """Adds a figure, and closes it."""
        figure.set_dpi(110)
        figure.canvas.draw()
        self.backend.add_image(name, np.asarray(figure.canvas.buffer_rgba())[..., :3].copy(), self.step)
        plt.close(figure)

    def add_scalar(self, name: str, value: float) -> None:
        """Adds a number."""
        self.backend.add_scalar(name, value, self.step)


def contact_sheet(dense: Dense, columns: int = 8, lines: int = 2) -> plt.Figure:
    """The first test images with their masks."""
    figure, axes = plt.subplots(lines, columns, figsize=(1.35 * columns, 1.35 * lines))
    for axis, image, mask in zip(axes.flat, dense.images, dense.masks, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0))
        axis.contour(_grown(mask), levels=[0.5], colors="#4dabf7", linewidths=0.8, extent=(0, 1, 0, 1))
    return _bare(figure, axes)


def plans(
    work: Path, cfg: Config, images: np.ndarray, shown: int = 4, counted: int = 64
) -> Iterator[tuple[str, plt.Figure, float]]:
    """Pairs of views with their matches: name, picture and share of right ones, with and without known geometry."""
    from mmengine.runner import load_checkpoint

    model = MODELS.build(cfg.model)
    load_checkpoint(model, latest_checkpoint(str(work / "pretrain_otcxr")), map_location="cpu")
    np.random.seed(0)
    crop, photo = TwoViewCrop(SIZE, scale=(0.3, 0.7), min_overlap=0.4, flip=0.5), PhotometricCXR()
    pairs = [photo.transform(crop.transform({"img": img})) for img in images[:counted]]
    matrices = torch.from_numpy(np.stack([p["view_to_image"] for p in pairs])).float()
    views = tuple(np.stack([p["img"][view] for p in pairs]) for view in (0, 1))
    for name, prior in (("plans", True), ("plans_without_prior", False)):
        figure, axes = plt.subplots(1, shown, figsize=(2.9 * shown, 1.6))
        matches = plan_matches(model, views, matrices, prior)
        for k, axis in enumerate(axes):
            draw_matches(axis, views[0][k], views[1][k], matches, k, NEAR)
        figure.tight_layout(pad=0.4)
        yield name, figure, float((matches.distance <= NEAR)[matches.seen].float().mean())


def colours(dense: Dense, name: str, columns: int = 8) -> plt.Figure:
    """Images, and below them a method's features as colours."""
    figure, axes = plt.subplots(2, columns, figsize=(1.3 * columns, 2.6))
    for axis, image in zip(axes[0], dense.images, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    for axis, picture in zip(axes[1], pca_rgb(dense.tokens[name], dense.grid), strict=False):
        axis.imshow(picture)
    return _bare(figure, axes)


def lungs(dense: Dense, name: str, columns: int = 8) -> plt.Figure:
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


def _bare(figure: plt.Figure, axes: np.ndarray) -> plt.Figure:
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout(pad=0.3)
    return figure
