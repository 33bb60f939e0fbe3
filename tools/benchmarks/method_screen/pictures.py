"""Pictures of plans and features of finished runs."""

import importlib
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from torch import Tensor

from otcxr_mm.datasets import PhotometricCXR, TwoViewCrop
from otcxr_mm.models import OTCXR
from otcxr_mm.ops import geometric_prior
from otcxr_mm.visualization.features import pca_rgb
from otcxr_mm.visualization.plans import draw_matches, plan_matches

from . import records
from .frozen import Frozen
from .queues import QUEUES
from .tasks import load_tasks


def draw_pictures(queue: str, names: list[str]) -> None:
    """Draws features as colours, and OTCXR's plans, into the work folder, because they show radiographs."""
    init_default_scope("mmpretrain")
    importlib.import_module("method_screen.components")
    folder = records.work_folder() / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    tasks = load_tasks(records.data_folder(), records.work_folder() / "packed", 96)
    images = np.concatenate([tasks[n].images[tasks[n].split == "val"][7:127:30] for n in ("kermany", "nih")])
    models = {}
    for name in names:
        if name not in QUEUES[queue] or not QUEUES[queue][name].epochs:
            raise SystemExit(f"{name}: no trained run of the queue {queue}")
        cfg = records.config_of(QUEUES[queue][name])
        model = MODELS.build(cfg.model)
        file = records.run_folder(queue, name, records.config_hash(cfg)) / f"epoch_{cfg.max_epochs}.pth"
        model.load_state_dict(torch.load(file, weights_only=True, map_location="cpu")["state_dict"])
        backbone = MODELS.build({**cfg.model.backbone.to_dict(), "out_indices": (2, 3)})
        backbone.load_state_dict(model.backbone.state_dict())
        models[name] = Frozen(backbone, model.data_preprocessor, "cpu")
        if isinstance(model, OTCXR):
            distance = plans(model, images, 3, folder / f"plans_{name}.png")
            print(f"{name}: mean distance between partners {np.mean(distance):.3f} of the image's side")
    features(models, images, folder / "features.png")
    print(f"written to {folder}")


def two_views(images: np.ndarray, seed: int) -> tuple[tuple[np.ndarray, np.ndarray], Tensor]:
    """Two views of each image, as two arrays like the images, and their `view_to_image`, (n, 2, 2, 3)."""
    np.random.seed(seed)
    crop, photo = TwoViewCrop(images.shape[1], scale=(0.25, 0.7), min_overlap=0.3, flip=0.5), PhotometricCXR()
    pairs = [photo.transform(crop.transform({"img": img})) for img in images]
    matrices = torch.from_numpy(np.stack([p["view_to_image"] for p in pairs]))
    return tuple(np.stack([p["img"][view] for p in pairs]) for view in (0, 1)), matrices


def features(models: dict[str, Frozen], images: np.ndarray, path: Path) -> None:
    """Draws images with each model's dense features as colours below them."""
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


def plans(model: OTCXR, images: np.ndarray, seed: int, path: Path) -> list[float]:
    """Draws the partners that the head's plan gives to visible tokens.

    Args:
        model: The model.
        images: (n, H, W), uint8.
        seed: Seed of the crops.
        path: File of the picture.

    Returns:
        The plan's mean distance between partners for each pair, in units of the image's side.
    """
    views, matrices = two_views(images, seed)
    matches = plan_matches(model, views, matrices)
    columns = (len(images) + 1) // 2
    figure, axes = plt.subplots(2, columns, figsize=(3.4 * columns, 4))
    for k, axis in enumerate(axes.flat[: len(images)]):
        draw_matches(axis, views[0][k], views[1][k], matches, k, near=0.15)
    figure.suptitle("green: partners within 0.15 of the image's side, red: farther")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    distance = geometric_prior(matrices[:, 0], matrices[:, 1], matches.grid).sqrt()
    return ((matches.plan * distance).sum((1, 2)) / matches.plan.sum((1, 2))).tolist()
