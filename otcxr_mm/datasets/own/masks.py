"""Radiographs with masks in folders beside them."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ...registry import DATASETS
from ..image_files import stem, walk_images
from ..records import Records
from ..transforms.errors import BrokenImageError
from ..transforms.loading import read_grey
from .folder import UnlabeledCXR


def read_mask(path: Path, threshold: float | None) -> np.ndarray:
    """A mask file as uint8 (H, W) of 0 and 1.

    Args:
        path: Of the file.
        threshold: Values above are inside; None: the file holds 0 and one other value.

    Raises:
        BrokenImageError: If it cannot be read, or holds more values and there is no threshold.
    """
    grey = read_grey(str(path), max_value=65535)  # values are marks, not greys
    if threshold is not None:
        return (grey > threshold).astype(np.uint8)
    values = np.unique(grey)
    if (values != 0).sum() > 1:
        raise BrokenImageError(
            f"{path}: a mask holds 0 and one other value, this one {len(values)} values: with threshold=127 those "
            "above are inside"
        )
    return (grey != 0).astype(np.uint8)


@DATASETS.register_module()
class CXRSegmentation(UnlabeledCXR):
    """A folder of images, and one of masks for each class, named as the images are.

    Items hold, besides what :class:`BaseCXRDataset` says, `gt_masks`, uint8 (C, H, W), which LoadCXR brings to the
    size of the image where it was packed smaller, and `mask_classes`, their names.

    Args:
        data_root: Where both begin.
        img_prefix: Folder of the images, searched with its subfolders.
        mask_prefix: Folder of the masks; or a mapping from classes to folders, such as
            ``dict(left='leftMask', right='rightMask')``. It is searched with its subfolders.
        mask_suffix: What a mask has after the name of its image, before the extension: '_mask', for one.
        threshold: Values of a mask above it are inside; None: masks hold 0 and one other value.
        ann_file: A list or csv of the images, as in :class:`UnlabeledCXR`; '' for all of the folder.
        **kwargs: See :class:`UnlabeledCXR` and :class:`BaseCXRDataset`. With `skip_missing` images without a mask are
            left out.

    Raises:
        FileNotFoundError: If a folder, the table, a listed image or a mask is missing.
        ValueError: If a mask is there twice.
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
        folders = {"mask": mask_prefix} if isinstance(mask_prefix, str) else dict(mask_prefix)
        if not folders:
            raise ValueError("CXRSegmentation: mask_prefix is a folder, or a mapping from classes to folders; got none")
        self.mask_folders, self.mask_suffix, self.threshold = folders, mask_suffix, threshold
        self.mask_classes = tuple(folders)
        self.mask_paths: np.ndarray | None = None
        super().__init__(data_root, ann_file=ann_file, img_prefix=img_prefix, **kwargs)

    def load_records(self) -> Records:
        """Lists the images and finds their masks.

        Raises:
            FileNotFoundError: If a folder or a mask is missing.
            ValueError: If a mask is there twice.
        """
        records = super().load_records()
        columns = [self._masks_of(records.path, folder) for folder in self.mask_folders.values()]
        self.mask_paths = np.stack(columns, 1)
        missing = (self.mask_paths == "").any(1)
        if missing.any():
            i = int(np.flatnonzero(missing)[0])
            folder = list(self.mask_folders.values())[int(np.flatnonzero(self.mask_paths[i] == "")[0])]
            text = f"{self._source()}: {missing.sum()} of {len(missing)} images have no mask, {records.path[i]} first"
            if not self.skip_missing or missing.all():
                raise FileNotFoundError(
                    f"{text}: there is no {stem(records.path[i])}{self.mask_suffix}.* in {self.root / folder}. "
                    "Complete the folder, look at mask_suffix, or set skip_missing=True to leave such images out"
                )
            print_log(f"{text}: left out", "current", logging.WARNING)
            records = records.take(~missing)
        return records

    def _masks_of(self, path: np.ndarray, folder: str) -> np.ndarray:
        """Masks of images in a folder, (n,), '' where there is none."""
        if not (self.root / folder).is_dir():
            raise FileNotFoundError(f"{self.root / folder}: no such folder of masks; look at mask_prefix")
        by_path: dict[str, str] = {}
        by_stem: dict[str, list[str]] = {}
        for mask in walk_images(self.root, folder):
            key = os.path.join(os.path.dirname(os.path.relpath(mask, folder)), stem(mask))
            if key in by_path:
                raise ValueError(f"{self.root / mask}: this mask is there as {by_path[key]} too: keep one of them")
            by_path[key] = mask
            by_stem.setdefault(stem(mask), []).append(mask)
        found = []
        for image in path.tolist():
            name = stem(image) + self.mask_suffix
            key = os.path.join(os.path.dirname(os.path.relpath(image, self.img_prefix or ".")), name)
            candidates = [by_path[key]] if key in by_path else by_stem.get(name, [])
            if len(candidates) > 1:
                raise ValueError(f"{self.root / image}: two masks fit, {candidates[0]} and {candidates[1]}")
            found.append(candidates[0] if candidates else "")
        return np.array(found)

    def get_data_info(self, idx: int) -> dict:
        """The record of an image as the pipeline's input, with its masks.

        Args:
            idx: Index of the image, within this split; negative ones count from the end.

        Raises:
            BrokenImageError: If a mask cannot be read, or the masks differ in size.
        """
        info = super().get_data_info(idx)
        files = [self.root / path for path in self.mask_paths[self.records.origin[idx]].tolist()]
        masks = [read_mask(file, self.threshold) for file in files]
        if len({mask.shape for mask in masks}) > 1:
            raise BrokenImageError(f"{files[0]}: the masks of this image differ in size: {[m.shape for m in masks]}")
        info["gt_masks"], info["mask_classes"] = np.stack(masks), self.mask_classes
        return info
