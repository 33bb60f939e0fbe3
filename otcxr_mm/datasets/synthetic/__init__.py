"""Procedural frontal chest radiographs: deterministic, with labels and masks, for demos and tests."""

from functools import partial
from pathlib import Path

import numpy as np

from ...registry import DATASETS
from ..base import BaseCXRDataset
from ..packing import pack_images
from ..records import Records
from .findings import CLASSES
from .radiograph import generate, image_findings

# shares of the patients
SPLITS = (("train", 0.70), ("val", 0.12), ("test", 0.18))


def _drawn(seed: int, size: int, path: str) -> np.ndarray:
    """An image and its masks above each other, (3 size, size)."""
    patient, image = Path(path).stem.split("_")
    grey, lungs, heart = generate(seed, int(patient), int(image), size)
    return np.concatenate([grey, lungs.astype(np.uint8), heart.astype(np.uint8)])


@DATASETS.register_module()
class SyntheticCXR(BaseCXRDataset):
    """Procedural frontal radiographs of made-up patients, with labels and with masks of lungs and heart.

    Not a substitute for radiographs: they show that an installation works and how a method behaves. Images are drawn at
    first use, about 70 per second and core at 128 pixels, and packed in a folder of their own under `data_root`.

    Besides what :class:`BaseCXRDataset` says, items hold `gt_masks`, uint8 (2, H, W): lungs, heart.

    Args:
        data_root: Folder for the packed images, made if needed.
        patients: Number of patients over all splits; each has 1 to 3 images.
        size: Side of the images in pixels.
        seed: Another seed gives other patients.
        **kwargs: See :class:`BaseCXRDataset`.
    """

    METAINFO = {"classes": CLASSES}
    mask_classes = ("lungs", "heart")

    def __init__(
        self, data_root: str = "data/synthetic", patients: int = 900, size: int = 128, seed: int = 0, **kwargs: object
    ) -> None:
        self.patients, self.size, self.seed = patients, size, seed
        root = Path(data_root).expanduser()
        root.mkdir(parents=True, exist_ok=True)
        super().__init__(data_root, packed=str(root / f"seed{seed}_patients{patients}_size{size}"), **kwargs)

    @property
    def collection(self) -> str:
        """Patients of two seeds have nothing in common but their numbers."""
        return f"synthetic radiographs of seed {self.seed}"

    def load_records(self) -> Records:
        """Lists the patients, and draws their images unless that is done."""
        paths, patients, splits, labels = [], [], [], []
        ends = np.cumsum([share for _, share in SPLITS]) * self.patients
        for patient in range(self.patients):
            split = SPLITS[int(np.searchsorted(ends, patient, "right").clip(max=len(SPLITS) - 1))][0]
            for image in range(int(np.random.default_rng([self.seed, patient, 2]).integers(1, 4))):
                paths.append(f"{patient:05d}_{image:03d}.png")
                patients.append(f"{patient:05d}")
                splits.append(split)
                shown = image_findings(self.seed, patient, image)
                labels.append([name in shown for name in CLASSES])
        read = partial(_drawn, self.seed, self.size)
        pack_images("", paths, self._packed_folder, (3 * self.size, self.size), read)
        return Records(
            np.array(paths), np.array(patients), split=np.array(splits), labels=np.array(labels, dtype=np.float32)
        )

    def get_data_info(self, idx: int) -> dict:
        """The record of an image as input for the pipeline, with `img` and `gt_masks` (lungs, heart)."""
        info = super().get_data_info(idx)
        info["img"], info["gt_masks"] = info["img"][: self.size], info["img"][self.size :].reshape(2, self.size, -1)
        return info
