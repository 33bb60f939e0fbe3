"""Structures on radiographs: masks, areas, and the cardiothoracic ratio."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from ..datasets.sides import words_of
from ..models.segmentation.mask_outputs import MaskOutputs
from ..utils.files import write_whole
from ..utils.mmseg import require_mmseg
from ..visualization.contours import contours_png
from .images import Image, Prepared
from .inferencer import CXRInferencer, Unread, picture_file
from .passes import full_pass
from .trained import Trained

RATIO = "cardiothoracic_ratio"


class CXRSegmentorInferencer(CXRInferencer):
    """Masks of structures at the size of the original, their areas, and the cardiothoracic ratio.

    ::

        inferencer = otcxr_mm.CXRSegmentorInferencer("work_dirs/upernet_r50_lungs")
        inferencer("a.png")  # [{'path': 'a.png', 'masks': {'mask': (H, W) bool}, 'pixels': {...}, 'share': {...}}]

    If the classes are a heart and lungs (one class, or left and right), each result has `cardiothoracic_ratio`: the
    greatest width of the heart over that of the lungs together, NaN where one is not found. It is measured on the
    masks, without correction for projection. Research software, not a medical device.

    Attributes:
        classes: Names of the structures.
    """

    pass_size = 2  # masks have the size of the originals

    def __init__(
        self,
        source: str | os.PathLike | Trained,
        device: str | torch.device | None = None,
        max_value: int | None = None,
    ) -> None:
        self.sample_type = require_mmseg("otcxr_mm.CXRSegmentorInferencer", "mmseg.structures").SegDataSample
        super().__init__(source, device, max_value)
        named = (self.trained.meta.get("dataset_meta") or {}).get("mask_classes")
        self.classes = [str(name) for name in named or range(self.model.decode_head.num_classes)]
        self.heart, self.lungs = heart_and_lungs(self.classes)
        self.columns = [f"{name}_{what}" for what in ("pixels", "share") for name in self.classes]
        self.columns += [RATIO] if self.heart else []

    def check(self, trained: Trained) -> None:
        """Raises a ValueError unless the model segments with masks that may overlap."""
        if not isinstance(self.model, MaskOutputs):
            raise ValueError(f"{trained.path}: {type(self.model).__name__} is not an otcxr_mm.MaskSegmentor")

    def forward_group(self, group: Sequence[Prepared], size: int | None) -> Sequence:
        """Data samples with `pred_masks`, (K, H, W) bool, at the size of the originals."""
        images = torch.stack([entry.tensor for entry in group])

        def segment(filled: torch.Tensor) -> Sequence:
            inside = tuple(filled.shape[2:])
            shapes = [entry.shape for entry in group] + [inside] * (len(filled) - len(group))
            meta = {"img_shape": inside, "pad_shape": inside}
            samples = [self.sample_type(metainfo={**meta, "ori_shape": shape}) for shape in shapes]
            return self.model.test_step({"inputs": filled, "data_samples": samples})

        return full_pass(segment, images, size)

    def masks(self, result: object) -> dict[str, np.ndarray]:
        """Masks by class, (H, W) bool."""
        return dict(zip(self.classes, result.pred_masks.data.cpu().numpy().astype(bool), strict=True))

    def row(self, result: object) -> np.ndarray:
        """Pixels of each class, their share of the image, and the cardiothoracic ratio where it is defined."""
        masks = self.masks(result)
        found = [mask.sum() for mask in masks.values()] + [mask.mean() for mask in masks.values()]
        return np.array([*found, *([self._ratio(masks)] if self.heart else [])], np.float64)

    def describe(self, result: object) -> dict:
        """Masks, areas and ratio by name."""
        masks = self.masks(result)
        found = {
            "masks": masks,
            "pixels": {name: int(mask.sum()) for name, mask in masks.items()},
            "share": {name: float(mask.mean()) for name, mask in masks.items()},
        }
        return {**found, RATIO: self._ratio(masks)} if self.heart else found

    def _ratio(self, masks: Mapping[str, np.ndarray]) -> float:
        return cardiothoracic_ratio(masks[self.heart], np.any([masks[name] for name in self.lungs], axis=0))

    def draw(self, image: Image, result: object, number: int, folder: Path) -> Path | None:
        """Draws the contours on the image."""
        if isinstance(result, Unread):
            return None
        file = picture_file(image, number, folder)
        write_whole(file, contours_png(self.original(image), self.masks(result)))
        return file


def heart_and_lungs(classes: Sequence[str]) -> tuple[str | None, list[str]]:
    """The class of the heart and those of the lungs, by the words in their names; (None, []) unless both are there."""
    words = {name: {*words_of(name)} for name in classes}
    hearts = [name for name, found in words.items() if "heart" in found]
    lungs = [name for name, found in words.items() if found & {"lung", "lungs"}]
    return (hearts[0], lungs) if len(hearts) == 1 and 0 < len(lungs) <= 2 else (None, [])


def cardiothoracic_ratio(heart: np.ndarray, lungs: np.ndarray) -> float:
    """Greatest width of the heart over that of the chest between the outer borders of the lungs.

    Args:
        heart: (H, W) bool.
        lungs: Both lungs, (H, W) bool.

    Returns:
        NaN if either is empty.
    """
    heart_columns, lung_columns = (np.flatnonzero(mask.any(0)) for mask in (heart, lungs))
    if not len(heart_columns) or not len(lung_columns):
        return float("nan")
    return float(np.ptp(heart_columns) + 1) / float(np.ptp(lung_columns) + 1)
