"""Chest radiographs of MedMNIST v2 (Yang et al., Scientific Data 2023): small images in one npz file."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...registry import DATASETS
from ..base import BaseCXRDataset
from ..records import Records
from .nih import NIHChestXray14

# ChestMNIST has NIH's classes in NIH's order
CLASSES = {"chestmnist": NIHChestXray14.METAINFO["classes"], "pneumoniamnist": ("Pneumonia",)}
COLLECTIONS = {"chestmnist": "ChestMNIST", "pneumoniamnist": "PneumoniaMNIST"}


@DATASETS.register_module()
class MedMNISTCXR(BaseCXRDataset):
    """ChestMNIST (from NIH ChestX-ray14) or PneumoniaMNIST (children), with MedMNIST's splits.

    All images of the splits asked for are read from the npz at the start and stay in memory; `img_path` only names one.
    No patients are published.

    Args:
        data_root: Folder of the file.
        ann_file: `chestmnist.npz`, `pneumoniamnist.npz`, or one of another size, such as `chestmnist_128.npz`.
        split: ``'train'``, ``'val'``, ``'test'`` or ``'all'``; with `split_file` or `split_by_hash` a split of that.
        **kwargs: See :class:`BaseCXRDataset`.
    """

    SPLITS = ("train", "val", "test")

    def __init__(self, data_root: str, ann_file: str, split: str = "train", **kwargs: object) -> None:
        self.kind = next((kind for kind in CLASSES if Path(ann_file).name.startswith(kind)), None)
        if self.kind is None:
            raise ValueError(f"MedMNISTCXR: ann_file must begin with one of {list(CLASSES)}, got {ann_file!r}")
        self.collection = COLLECTIONS[self.kind]
        self.images: dict[str, np.ndarray] = {}
        # no image is a file
        kwargs.update(check_files=False, skip_missing=False)
        super().__init__(data_root, ann_file, split, **kwargs)

    def label_names(self) -> Sequence[str]:
        """The classes of this file."""
        return CLASSES[self.kind]

    def load_records(self) -> Records:
        """Reads images and labels of the splits asked for."""
        splits = self.splits_to_read
        labels = [self._read(self.root / self.ann_file, split) for split in splits]
        paths = [f"{self.ann_file}/{split}/{i:06d}" for split in splits for i in range(len(self.images[split]))]
        split_of = np.repeat(splits, [len(self.images[split]) for split in splits])
        return Records(np.array(paths), split=split_of, labels=np.concatenate(labels))

    def image_id(self, path: str) -> str:
        """Split and number of an image by its path, for the leak audit: the same in the files of all sizes."""
        return "/".join(path.split("/")[-2:])

    def _read(self, file: Path, split: str) -> np.ndarray:
        try:
            with np.load(file, allow_pickle=False) as archive:
                images, labels = archive[f"{split}_images"], archive[f"{split}_labels"]
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{file}: damaged, or not an npz of MedMNIST ({error})") from error
        if labels.shape != (len(images), len(CLASSES[self.kind])) or not np.isin(labels, (0, 1)).all():
            raise ValueError(f"{file}: {split}_labels must be 0 or 1 (n, C), got {labels.dtype} {labels.shape}")
        self.images[split] = images
        return labels.astype(np.float32)

    def get_data_info(self, idx: int) -> dict:
        """The record of an image as input for the pipeline, with `img`."""
        info = super().get_data_info(idx)
        split, number = info["img_path"].split("/")[-2:]
        info["img"] = self.images[split][int(number)]
        return info
