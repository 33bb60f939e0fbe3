"""Chest radiographs of MedMNIST v2 (Yang et al., Scientific Data 2023): small images in one npz file."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...registry import DATASETS
from ..base import BaseCXRDataset
from ..records import Records
from .nih import NIHChestXray14

CLASSES = {
    # in MedMNIST's order, which is NIH's, under NIH's names
    "chestmnist": NIHChestXray14.METAINFO["classes"],
    "pneumoniamnist": ("Pneumonia",),
}
COLLECTIONS = {"chestmnist": "ChestMNIST", "pneumoniamnist": "PneumoniaMNIST"}


@DATASETS.register_module()
class MedMNISTCXR(BaseCXRDataset):
    """ChestMNIST (from NIH ChestX-ray14) or PneumoniaMNIST (children), with MedMNIST's splits.

    The images are read from the npz at the start, all of the splits asked for, and stay in memory; `img_path` only
    names one.

    Args:
        data_root: Folder of the file.
        ann_file: `chestmnist.npz`, `pneumoniamnist.npz`, or one of another size, such as `chestmnist_128.npz`.
        split: ``'train'``, ``'val'``, ``'test'`` or ``'all'``; with `split_file` or `split_by_hash` a split of that.
        **kwargs: See :class:`BaseCXRDataset`. No patients are published with it.

    Raises:
        FileNotFoundError: If the folder or the file is missing.
        ValueError: If it is no such npz, or its images and labels do not fit together.
    """

    SPLITS = ("train", "val", "test")
    PATIENT_NOTE = "MedMNIST names no patients: nothing but its splits keeps a patient out of two of them"

    def __init__(self, data_root: str, ann_file: str, split: str = "train", **kwargs: object) -> None:
        self.kind = next((kind for kind in CLASSES if Path(ann_file).name.startswith(kind)), None)
        if self.kind is None:
            raise ValueError(
                f"MedMNISTCXR: ann_file is the npz, {' or '.join(f'{k}*.npz' for k in CLASSES)}: {ann_file!r}"
            )
        self.collection = COLLECTIONS[self.kind]
        self.images: dict[str, np.ndarray] = {}
        super().__init__(data_root, ann_file=ann_file, split=split, **kwargs)

    def label_names(self) -> Sequence[str]:
        """The classes of this file."""
        return CLASSES[self.kind]

    def load_records(self) -> Records:
        """Reads images and labels of the splits asked for."""
        only_one = self.split != "all" and not self.splits_of_ones_own
        splits = (self.split,) if only_one else self.SPLITS
        labels = [self._read(self.root / self.ann_file, split) for split in splits]
        paths = [f"{self.ann_file}/{split}/{i:06d}" for split in splits for i in range(len(self.images[split]))]
        of = np.repeat(splits, [len(self.images[split]) for split in splits])
        return Records(np.array(paths), split=of, labels=np.concatenate(labels))

    def image_id(self, path: str) -> str:
        """Split and number of an image by its path, for the leak audit: the same in the files of all sizes."""
        return "/".join(path.split("/")[-2:])

    def known_files(self) -> set[str]:
        """Every image: they are in the npz."""
        return {f"{self.ann_file}/{split}/{i:06d}" for split, images in self.images.items() for i in range(len(images))}

    def _read(self, file: Path, split: str) -> np.ndarray:
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such npz")
        try:
            with np.load(file, allow_pickle=False) as archive:
                images, labels = archive[f"{split}_images"], archive[f"{split}_labels"]
        except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
            raise ValueError(
                f"{file}: damaged, or no npz of MedMNIST with {split}_images and labels: {error}"
            ) from error
        names = CLASSES[self.kind]
        if images.dtype != np.uint8 or images.ndim != 3:
            raise ValueError(f"{file}: {split}_images are uint8 (n, h, w), got {images.dtype} {images.shape}")
        if labels.shape != (len(images), len(names)):
            raise ValueError(f"{file}: {split}_labels are ({len(images)}, {len(names)}), got {labels.shape}")
        if not np.isin(labels, (0, 1)).all():
            row = int(np.flatnonzero(~np.isin(labels, (0, 1)).all(1))[0])
            raise ValueError(f"{file}: {split}_labels are 0 or 1, row {row} is {labels[row].tolist()}")
        self.images[split] = images
        return labels.astype(np.float32)

    def get_data_info(self, idx: int) -> dict:
        """The record of an image as the pipeline's input, with `img`.

        Args:
            idx: Index of the image, within this split; negative ones count from the end.
        """
        info = super().get_data_info(idx)
        if "img" not in info:
            split, number = info["img_path"].split("/")[-2:]
            info["img"] = self.images[split][int(number)]
        return info
