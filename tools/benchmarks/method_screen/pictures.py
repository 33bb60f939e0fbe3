"""Pictures of plans and features of finished runs, to look at while choosing."""

from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn

from otcxr_mm.datasets import PhotometricCXR, TwoViewCrop
from otcxr_mm.ops import geometric_prior, visibility
from otcxr_mm.visualization.features import pca_rgb

from .frozen import Frozen


def viewpoints(images: np.ndarray, seed: int) -> tuple[list[np.ndarray], Tensor]:
    """Two viewpoints of each image, two arrays like the images, and where they lie, (n, 2, 2, 3)."""
    np.random.seed(seed)
    crop, photo = TwoViewCrop(images.shape[1], scale=(0.25, 0.7), min_overlap=0.3, flip=0.5), PhotometricCXR()
    pairs = [photo.transform(crop.transform({"img": img})) for img in images]
    matrices = torch.from_numpy(np.stack([p["view_to_image"] for p in pairs]))
    return [np.stack([p["img"][view] for p in pairs]) for view in (0, 1)], matrices


def features(models: dict[str, Frozen], images: np.ndarray, path: Path) -> None:
    """Images, and below them each model's dense features as colours."""
    figure, axes = plt.subplots(1 + len(models), len(images), figsize=(1.6 * len(images), 1.7 * (1 + len(models))))
    for axis, img in zip(axes[0], images, strict=True):
        axis.imshow(img, cmap="gray")
    for row, (name, model) in zip(axes[1:], models.items(), strict=True):
        tokens = model.features(images, dense=True)[1]
        side = int(tokens.shape[1] ** 0.5)
        for axis, colours in zip(row, pca_rgb(tokens, (side, side)), strict=True):
            axis.imshow(colours)
        row[0].set_ylabel(name)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


@torch.no_grad()
def plans(model: nn.Module, images: np.ndarray, seed: int, path: Path) -> list[float]:
    """For each pair of viewpoints the partners that the head's plan gives visible tokens, and the true places.

    Args:
        model: An OTCXR.
        images: (n, H, W), uint8.
        seed: Of the crops.
        path: Of the picture.

    Returns:
        For each pair the plan's mean distance between partners, in units of the image's side.
    """
    views, matrices = viewpoints(images, seed)
    model.eval()
    inputs = model.data_preprocessor({"inputs": [torch.from_numpy(v)[:, None] for v in views]})["inputs"]
    feats = [model.backbone(view) for view in inputs]
    grid = model.neck.grid(feats[0])
    n, size = grid[0] * grid[1], images.shape[1]
    plan = model.head.transport(*model.neck(*feats), (matrices, grid)).plan[:, :n, :n]
    distance = geometric_prior(matrices[:, 0], matrices[:, 1], grid).sqrt()
    seen = visibility(matrices[:, 0], matrices[:, 1], grid)
    figure, axes = plt.subplots(2, (len(images) + 1) // 2, figsize=(3.4 * ((len(images) + 1) // 2), 4))
    for k, axis in enumerate(axes.flat[: len(images)]):
        axis.imshow(np.concatenate([views[0][k], np.full((size, 8), 255, np.uint8), views[1][k]], 1), cmap="gray")
        for i in range(n):
            if seen[k, i] < 0.5:
                continue
            j = int(plan[k, i].argmax())
            near = distance[k, i, j] < 0.15
            x, y = ((i % grid[1] + 0.5) / grid[1] * size, (i // grid[1] + 0.5) / grid[0] * size)
            u, v = ((j % grid[1] + 0.5) / grid[1] * size + size + 8, (j // grid[1] + 0.5) / grid[0] * size)
            axis.plot([x, u], [y, v], color="tab:green" if near else "tab:red", linewidth=0.7)
        axis.set_axis_off()
    figure.suptitle("green: partners within 0.15 of the image's side, red: farther")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return ((plan * distance).sum((1, 2)) / plan.sum((1, 2))).tolist()
