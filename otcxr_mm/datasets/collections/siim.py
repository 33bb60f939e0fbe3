"""SIIM-ACR Pneumothorax Segmentation 2019, read as Kaggle ships it."""

import numpy as np

from ...registry import DATASETS
from ..records import Records
from ..tables import Table, read_csv
from .images_by_id import ImagesById

SIDE = 1024  # of the images that the masks were drawn on


def decode_rle(runs: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Mask of SIIM's run-length code, in which every run begins relative to the end of the one before.

    Args:
        runs: (2 n,): background pixels before a run, pixels of the run, and so on, down the columns from left to right.
        side: Of the mask.

    Returns:
        uint8 (side, side), 1 inside.
    """
    inside = np.repeat(np.resize(np.array([0, 1], np.uint8), len(runs)), runs)
    return np.pad(inside, (0, side * side - len(inside))).reshape(side, side).T


@DATASETS.register_module()
class SIIMPneumothorax(ImagesById):
    """12,047 radiographs, 2,669 of them with a pneumothorax and its outline.

    The table (ImageId, EncodedPixels) has one row per outline, those of an image are united; -1 is none. Images are
    `.dcm`, in the nested folders of the download or anywhere below `img_prefix`, or converted ones named by ImageId.

    Besides what :class:`BaseCXRDataset` says, items hold `gt_masks`, uint8 (1, 1024, 1024), which LoadCXR brings to the
    size of the image, and `mask_classes`. No patients are published, and no splits for the images with labels; the
    images are from NIH ChestX-ray14 (Filice et al., Journal of Digital Imaging 2020), so a network pre-trained there
    may have seen them. Which NIH images they are has not been published.

    Arguments and errors: see :class:`~otcxr_mm.datasets.collections.images_by_id.ImagesById`.
    """

    METAINFO = {"classes": ("Pneumothorax",)}
    TABLE, FOLDER = "train-rle.csv", "dicom-images-train"
    collection = "SIIM-ACR pneumothorax"
    mask_classes = ("Pneumothorax",)
    # column of images
    IMAGE = "ImageId"

    def load_records(self) -> Records:
        """Reads the table, and checks every outline."""
        return self.read_outlines(read_csv(self.root / self.ann_file, (self.IMAGE, "EncodedPixels"), only=()))

    def read_outlines(self, table: Table) -> Records:
        """The images of a table, with their labels and outlines."""
        table.require_inside(self.IMAGE)
        image, image_of = np.unique(table[self.IMAGE], return_inverse=True)
        paths, labels = self.image_paths(image), np.zeros((len(image), 1), np.float32)
        self.outlines: dict[str, list[np.ndarray]] = {}
        for row in (row for row, text in enumerate(table.texts("EncodedPixels")) if text != "-1"):
            self.outlines.setdefault(str(paths[image_of[row]]), []).append(self._runs(table, row))
            labels[image_of[row]] = 1
        return Records(paths, labels=labels)

    @staticmethod
    def _runs(table: Table, row: int) -> np.ndarray:
        text = table.texts("EncodedPixels")[row]
        try:
            runs = np.array(text.split(), dtype=np.int32)
        except (ValueError, OverflowError):
            runs = np.empty(0, np.int32)
        if not len(runs) or len(runs) % 2 or (runs < 0).any() or runs.sum(dtype=np.int64) > SIDE**2:
            raise table.error(
                row, f"EncodedPixels must be pairs of a gap and a length, within {SIDE}² pixels, got {text[:60]!r}"
            )
        return runs

    def get_data_info(self, idx: int) -> dict:
        """The record of an image as input for the pipeline, with its mask."""
        info = super().get_data_info(idx)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for runs in self.outlines.get(info["image"], ()):
            mask |= decode_rle(runs)
        info["gt_masks"], info["mask_classes"] = mask[None], self.mask_classes
        return info
