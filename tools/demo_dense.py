"""Dense features of the demo's backbones on test images, and the lungs that a linear map reads from them."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from otcxr_mm import SyntheticCXR, load_backbone_weights
from otcxr_mm.evaluation.statistics.mask_probe import MaskProbe, mask_probe
from otcxr_mm.utils.checkpoints import latest_checkpoint
from otcxr_mm.visualization.features import backbone_tokens

SIZE, MASK = 96, 48


@dataclass
class Dense:
    """Dense features on test images, and what a linear map makes of them.

    Attributes:
        titles: What each method is called.
        images: Test images, (n, 96, 96).
        masks: Their lungs, (n, 48, 48).
        tokens: Features of each method, (n, h w, C).
        grid: (h, w).
        probes: Lungs of each method.
    """

    titles: dict[str, str]
    images: np.ndarray
    masks: np.ndarray
    tokens: dict[str, torch.Tensor]
    grid: tuple[int, int]
    probes: dict[str, MaskProbe]


def run_folder(name: str) -> str:
    """The step that evaluates a method."""
    return name if name == "supervised" else f"linear_{name}"


def _checkpoint(work: Path, name: str) -> Path:
    folder = work / run_folder(name)
    return Path(latest_checkpoint(str(folder))) if name == "supervised" else folder / "linear.pth"


def _images(cfg: Config, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 96, 96) and lung masks (n, 48, 48) of a split."""
    settings = {k: v for k, v in cfg.train_dataloader.dataset.items() if k in ("data_root", "patients", "seed")}
    dataset = SyntheticCXR(**settings, split=split)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    images = [cv2.resize(info["img"], (SIZE, SIZE), interpolation=cv2.INTER_LINEAR) for info in infos]
    masks = [cv2.resize(info["gt_masks"][0] * 255, (MASK, MASK), interpolation=cv2.INTER_AREA) > 127 for info in infos]
    return np.stack(images), np.stack(masks)


def evaluate_dense(work: Path, cfg: Config, titles: dict[str, str]) -> Dense:
    """Segments lungs from the frozen features of each method's last two stages.

    Args:
        work: Folder of the steps.
        cfg: Config of the linear probe.
        titles: What each method is called.
    """
    init_default_scope("mmpretrain")
    splits = [_images(cfg, split) for split in ("train", "val", "test")]
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    tokens, probes = {}, {}
    for name in titles:
        backbone = MODELS.build({**cfg.model.backbone, "out_indices": (2, 3)})
        load_backbone_weights(backbone, _checkpoint(work, name))
        parts = [backbone_tokens(backbone, preprocessor, images) for images, _ in splits]
        grid = parts[0][1]
        probes[name] = mask_probe([part[0].numpy() for part in parts], [masks for _, masks in splits], grid)
        tokens[name] = parts[2][0]
    return Dense(titles, *splits[2], tokens, grid, probes)
