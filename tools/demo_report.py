"""What the demo measures on dense features, and the pictures and the page that it makes."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from demo import METHODS as TITLES
from matplotlib import pyplot as plt
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from otcxr_mm import SyntheticCXR, load_backbone
from otcxr_mm.datasets import PhotometricCXR, TwoViewCrop
from otcxr_mm.evaluation.statistics.mask_probe import MaskProbe, mask_probe
from otcxr_mm.reports.page import Report
from otcxr_mm.utils.checkpoints import latest_checkpoint
from otcxr_mm.visualization.features import backbone_tokens, pca_rgb
from otcxr_mm.visualization.plans import draw_matches, plan_matches

SIZE, MASK = 96, 48
NEAR = 0.15
GREY = "#7d7d7d"  # readable on white and on black


@dataclass
class Dense:
    """Dense features on test images, and what a linear map makes of them."""

    images: np.ndarray
    masks: np.ndarray
    tokens: dict[str, torch.Tensor]
    grid: tuple[int, int]
    probes: dict[str, MaskProbe]


def _checkpoint(work: Path, name: str) -> Path:
    if name == "supervised":
        return Path(latest_checkpoint(str(work / name)))
    return work / f"linear_{name}" / "linear.pth"


def _images(cfg: Config, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 96, 96) and lung masks (n, 48, 48) of a split."""
    settings = {k: v for k, v in cfg.train_dataloader.dataset.items() if k in ("data_root", "patients", "seed")}
    dataset = SyntheticCXR(**settings, split=split)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    images = [cv2.resize(info["img"], (SIZE, SIZE), interpolation=cv2.INTER_LINEAR) for info in infos]
    masks = [cv2.resize(info["gt_masks"][0] * 255, (MASK, MASK), interpolation=cv2.INTER_AREA) > 127 for info in infos]
    return np.stack(images), np.stack(masks)


def evaluate_dense(work: Path, cfg: Config) -> Dense:
    """Segments lungs from the frozen features of each method, the last two stages.

    Args:
        work: Folder of the steps.
        cfg: Config of the linear probe.
    """
    init_default_scope("mmpretrain")
    splits = [_images(cfg, split) for split in ("train", "val", "test")]
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    tokens, probes = {}, {}
    for name in TITLES:
        backbone = MODELS.build({**cfg.model.backbone, "out_indices": (2, 3)})
        load_backbone(backbone, _checkpoint(work, name))
        parts = [backbone_tokens(backbone, preprocessor, images) for images, _ in splits]
        grid = parts[0][1]
        probes[name] = mask_probe([part[0].numpy() for part in parts], [masks for _, masks in splits], grid)
        tokens[name] = parts[2][0]
    return Dense(*splits[2], tokens, grid, probes)


def report(work: Path, metrics: dict, dense: Dense, cfg: Config, pictures: Path) -> str:
    """The page.

    Args:
        work: Folder of the steps.
        metrics: What the demo found.
        dense: From :func:`evaluate_dense`.
        cfg: Config of the pre-training with OTCXR.
        pictures: Folder for the pictures as files.
    """
    page = Report(f"OTCXR on synthetic radiographs, seed {metrics['seed']}", pictures)
    page.text(
        "A ResNet-18 of half the usual width was pre-trained without labels on drawn radiographs of 96 pixels. "
        "This shows that the installation works and what the method does. It says nothing about real radiographs: for "
        "those see docs/results.md."
    )
    page.heading("Findings from frozen features")
    page.text(
        "AUROC on test patients. The backbone stays as it is and a linear map of its pooled features is fitted on the "
        "labels of training patients; its weight decay is chosen on validation patients. Supervised: the whole network "
        "was trained on those labels from the start, as a ceiling. VICReg takes OTCXR's learning rate and schedule; a "
        "comparison of methods, each with its own, is docs/results.md."
    )
    classes = list(metrics["otcxr"]["per_class"])
    rows = [["macro", *(f"{metrics[m]['macro_auroc']:.3f}" for m in TITLES)]]
    rows += [[c, *(_number(metrics[m]["per_class"][c]) for m in TITLES)] for c in classes]
    rows.append(["lung Dice", *(f"{metrics[m]['lung_dice']:.3f}" for m in TITLES)])
    best = [(r, 1 + int(np.argmax([float(x) for x in row[1:4]]))) for r, row in enumerate(rows) if "-" not in row]
    page.table(["", *TITLES.values()], rows, best)
    page.text(
        "Marked: the best of the three that saw no label in training. Lung Dice: a ridge regression from each dense "
        "token of the frozen backbone to the lung mask in its cell, at 48 pixels; the average training mask, which "
        f"looks at no image, has {metrics['average_mask']['lung_dice']:.3f}."
    )
    page.heading("The images")
    page.figure(
        "images",
        contact_sheet(dense),
        "Drawn radiographs of test patients; the outline is the lung mask that comes with them.",
        photograph=True,
    )
    page.heading("Training")
    page.figure(
        "losses",
        curves(work),
        "Losses of OTCXR (transport, variance, covariance, weighted, and their sum) and of VICReg (the sum).",
    )
    page.heading("What the transport plan matches")
    figure, shares = plans(work, cfg, dense.images)
    page.figure(
        "plans",
        figure,
        "Two viewpoints of one image each; every patch that both show is joined to the patch that gets most of its "
        f"mass. Green: that patch lies within {NEAR:g} of the image's side of the true place, red: farther. Above: the "
        "plan as in training, where the known geometry of the crops enters the cost and decides "
        f"({shares[0]:.0%} green over {shares[2]} pairs). Below: features alone ({shares[1]:.0%}).",
        photograph=True,
    )
    page.heading("Features as colours")
    page.figure(
        "features",
        colours(dense),
        "Dense features of test images, 6 x 6 tokens: their first three principal components as red, green, blue, for "
        "each method on its own. Equal colours are similar features.",
        photograph=True,
    )
    page.heading("Lungs from frozen features")
    page.figure(
        "lungs",
        lungs(dense),
        "Lungs of test images as a linear map reads them from the frozen features (red) and as they were drawn (blue).",
        photograph=True,
    )
    page.heading("Time")
    seconds = metrics["seconds"]
    page.table(["step", "seconds"], [[k.replace("_", " "), f"{v:.0f}"] for k, v in seconds.items() if k != "total"])
    page.text("Steps that an earlier, interrupted run had finished count with the time they took then.")
    return page.html()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def contact_sheet(dense: Dense, columns: int = 8, lines: int = 2) -> plt.Figure:
    """The first test images with their masks."""
    figure, axes = plt.subplots(lines, columns, figsize=(1.35 * columns, 1.35 * lines))
    for axis, image, mask in zip(axes.flat, dense.images, dense.masks, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0))
        axis.contour(_grown(mask), levels=[0.5], colors="#4dabf7", linewidths=0.8, extent=(0, 1, 0, 1))
    return _bare(figure, axes)


def curves(work: Path) -> plt.Figure:
    """Losses over epochs."""
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 3))
    parts = {"loss_ot": "transport", "loss_var": "variance", "loss_cov": "covariance", "loss": "sum"}
    for axis, name in zip(axes, ("otcxr", "vicreg"), strict=True):
        points = _scalars(work / f"pretrain_{name}")
        for key, label in parts.items():
            if points and key in points[0] and (name == "otcxr" or key == "loss"):
                axis.plot([p["step"] for p in points], [p[key] for p in points], label=label)
        axis.set_title(TITLES[name], color=GREY)
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
    """What was logged, by iteration; a run that went on overwrites what it repeated."""
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
    np.random.seed(0)
    crop, photo = TwoViewCrop(SIZE, scale=(0.3, 0.7), min_overlap=0.4, flip=0.5), PhotometricCXR()
    pairs = [photo.transform(crop.transform({"img": img})) for img in images[:counted]]
    matrices = torch.from_numpy(np.stack([p["view_to_image"] for p in pairs])).float()
    views = tuple(np.stack([p["img"][view] for p in pairs]) for view in (0, 1))
    figure, axes = plt.subplots(2, shown, figsize=(2.9 * shown, 3.2))
    shares = []
    for line, prior in zip(axes, (True, False), strict=True):
        matches = plan_matches(model, views, matrices, prior)
        shares.append(float((matches.distance <= NEAR)[matches.seen].float().mean()))
        for k, axis in enumerate(line):
            draw_matches(axis, views[0][k], views[1][k], matches, k, NEAR)
    figure.tight_layout(pad=0.4)
    return figure, (*shares, len(pairs))


def colours(dense: Dense, columns: int = 8) -> plt.Figure:
    """Images, and below them each method's features as colours."""
    figure, axes = plt.subplots(1 + len(TITLES), columns, figsize=(1.3 * columns, 1.3 * (1 + len(TITLES))))
    for axis, image in zip(axes[0], dense.images, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    for line, (name, title) in zip(axes[1:], TITLES.items(), strict=True):
        rgb = pca_rgb(dense.tokens[name], dense.grid)
        for axis, picture in zip(line, rgb, strict=False):
            axis.imshow(picture)
        line[0].set_ylabel(title)
    return _bare(figure, axes)


def lungs(dense: Dense, columns: int = 8) -> plt.Figure:
    """Masks read from features over the images."""
    figure, axes = plt.subplots(len(TITLES), columns, figsize=(1.3 * columns, 1.3 * len(TITLES)))
    for line, (name, title) in zip(axes, TITLES.items(), strict=True):
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
