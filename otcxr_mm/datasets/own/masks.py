"""Radiographs with masks in folders beside them."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ...registry import DATASETS
from ..image_files import walk_images
from ..records import Records
from ..transforms.errors import BrokenImageError
from ..transforms.loading import read_grey
from .folder import UnlabeledCXR


def read_mask(path: Path, threshold: float | None) -> np.ndarray:
    """A mask file as uint8 (H, W) of 0 and 1; without a threshold, it must hold 0 and one other value."""
    grey = read_grey(str(path), max_value=65535)  # values are marks, not greys
    if threshold is not None:
        return (grey > threshold).astype(np.uint8)
    values = np.unique(grey)
    if (values != 0).sum() > 1:
        raise BrokenImageError(f"{path}: a mask of {len(values)} values needs threshold=127; those above are inside")
    return (grey != 0).astype(np.uint8)


@DATASETS.register_module()
class CXRSegmentation(UnlabeledCXR):
    """A folder of images, and one of masks for each class, with the same subfolders and names.

    Besides what :class:`BaseCXRDataset` says, items hold `gt_masks`, uint8 (C, H, W), which LoadCXR brings to the size
    of the image where it was packed smaller, and `mask_classes`, their names.

    Args:
        data_root: Folder that contains both.
        img_prefix: Folder of the images, searched with its subfolders.
        mask_prefix: Folder of the masks; or a mapping from classes to folders, such as
            ``dict(left='leftMask', right='rightMask')``.
        mask_suffix: What a mask has after the name of its image, before the extension, such as '_mask'.
        threshold: Values of a mask above it are inside; None if masks hold 0 and one other value.
        ann_file: A list or csv of the images, as in :class:`UnlabeledCXR`; '' for all of the folder.
        **kwargs: See :class:`UnlabeledCXR` and :class:`BaseCXRDataset`. With `skip_missing`, images without a mask are
            left out.
    """

    def __init__(
        self,
        data_root: str,
        img_prefix: str = "images",
        mask_prefix: str | Mapping[str, str] = "masks",
        mask_suffix: str = "",
        threshold: float | None = None,
        ann_file: str = "",
        **kwargs: object,
    ) -> None:
        self.mask_folders = {"mask": mask_prefix} if isinstance(mask_prefix, str) else dict(mask_prefix)
        self.mask_suffix, self.threshold = mask_suffix, threshold
        self.mask_classes = tuple(self.mask_folders)
        super().__init__(data_root, ann_file, img_prefix, **kwargs)

    def load_records(self) -> Records:
        """Lists the images and finds their masks."""
        records = super().load_records()
        images = [os.path.relpath(path, self.img_prefix or ".") for path in records.path.tolist()]
        names = [os.path.splitext(image)[0] + self.mask_suffix for image in images]
        masks = np.stack([self._masks_of(names, folder) for folder in self.mask_folders.values()], 1)
        self.mask_paths = dict(zip(records.path.tolist(), masks.tolist(), strict=True))
        missing = (masks == "").any(1)
        if missing.any():
            i = int(np.flatnonzero(missing)[0])
            folder = list(self.mask_folders.values())[masks[i].tolist().index("")]
            text = f"{self._source()}: {missing.sum()} of {len(missing)} images have no mask, {records.path[i]} first"
            if not self.skip_missing or missing.all():
                raise FileNotFoundError(
                    f"{text}: there is no {names[i]}.* in {self.root / folder}. Complete the folder, correct "
                    "mask_prefix or mask_suffix, or set skip_missing=True to leave such images out"
                )
            print_log(f"{text}: left out", "current", logging.WARNING)
            records = records.take(~missing)
        return records

    def _masks_of(self, names: list[str], folder: str) -> np.ndarray:
        """Paths of masks in a folder by name, (n,), '' where there is none."""
        mask_of: dict[str, str] = {}
        for mask in walk_images(self.root, folder):
            name = os.path.splitext(os.path.relpath(mask, folder))[0]
            if mask_of.setdefault(name, mask) != mask:
                raise ValueError(f"{self.root / mask}: this mask is there as {mask_of[name]} too: keep one of them")
        return np.array([mask_of.get(name, "") for name in names])

    def get_data_info(self, idx: int) -> dict:
        """The record of an image as input for the pipeline, with its masks."""
        info = super().get_data_info(idx)
        files = [self.root / path for path in self.mask_paths[info["image"]]]
        masks = [read_mask(file, self.threshold) for file in files]
        if len({mask.shape for mask in masks}) > 1:
            raise BrokenImageError(f"{files[0]}: the masks of this image differ in size: {[m.shape for m in masks]}")
        info["gt_masks"], info["mask_classes"] = np.stack(masks), self.mask_classes
        return info
