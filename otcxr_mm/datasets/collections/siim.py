"""SIIM-ACR Pneumothorax Segmentation 2019, read as Kaggle ships it."""

from pathlib import Path

import numpy as np

from ...registry import DATASETS
from ..records import Records
from ..tables import read_csv, require_filled
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
    gaps, lengths = runs[0::2], runs[1::2]
    ends = np.cumsum(gaps + lengths)
    flat = np.zeros(side * side, np.uint8)
    for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True):
        flat[start:end] = 1
    return flat.reshape(side, side).T


@DATASETS.register_module()
class SIIMPneumothorax(ImagesById):
    """12,047 radiographs, 2,669 of them with a pneumothorax and its outline.

    The table (ImageId, EncodedPixels) has a row an outline, those of an image are united; -1 is none. Images are
    `.dcm`, in the nested folders of the download or anywhere below `img_prefix`, or converted ones named by ImageId.

    Items hold, besides what :class:`BaseCXRDataset` says, `gt_masks`, uint8 (1, 1024, 1024), which LoadCXR brings to
    the size of the image, and `mask_classes`. No patient is published here; the images are believed to be from NIH
    ChestX-ray14, so that a network pre-trained there may have seen them.

    Args:
        data_root: Folder of the table and the images.
        ann_file: The table.
        img_prefix: Folder of the images, searched with its subfolders.
        img_suffix: Extension of the images, where they are there in several; None for any.
        **kwargs: See :class:`BaseCXRDataset`. No splits are published for the images with labels.

    Raises:
        FileNotFoundError: If the folder, the table or a listed image is missing.
        ValueError: If a column is missing, an outline is damaged or leaves the image, an image has an outline in one
            row and -1 in another, or an image is there twice.
    """

    METAINFO = {"classes": ("Pneumothorax",)}
    collection = "SIIM-ACR pneumothorax"
    PATIENT_NOTE = "the table names no patients: nothing keeps a patient out of two splits"
    mask_classes = ("Pneumothorax",)

    def __init__(
        self,
        data_root: str,
        ann_file: str = "train-rle.csv",
        img_prefix: str = "dicom-images-train",
        img_suffix: str | None = None,
        **kwargs: object,
    ) -> None:
        self.outlines: dict[int, list[np.ndarray]] = {}
        super().__init__(data_root, img_prefix, img_suffix, ann_file=ann_file, **kwargs)

    def load_records(self) -> Records:
        """Reads the table, and checks every outline.

        Raises:
            FileNotFoundError: If the table is missing.
            ValueError: If an outline is damaged; names the row.
        """
        file = self.root / self.ann_file
        table = read_csv(file, ("ImageId", "EncodedPixels"))
        require_filled(table["ImageId"], file, "ImageId")
        require_filled(table["EncodedPixels"], file, "EncodedPixels")
        image, image_of = np.unique(table["ImageId"], return_inverse=True)
        inside = table["EncodedPixels"] != "-1"
        positive = np.bincount(image_of[inside], minlength=len(image)) > 0
        torn = np.flatnonzero(~inside & positive[image_of])
        if len(torn):
            name = image[image_of[torn[0]]]
            raise ValueError(f"{file}, row {torn[0] + 2}: -1, but another row has an outline of {name}")
        self.outlines = {}
        for row in np.flatnonzero(inside).tolist():
            runs = self._runs(str(table["EncodedPixels"][row]), file, row + 2)
            self.outlines.setdefault(int(image_of[row]), []).append(runs)
        return Records(self.image_paths(image, default=".dcm"), labels=positive[:, None].astype(np.float32))

    @staticmethod
    def _runs(text: str, file: Path, row: int) -> np.ndarray:
        try:
            runs = np.array(text.split(), dtype=np.int64)
        except (ValueError, OverflowError):
            raise ValueError(f"{file}, row {row}: EncodedPixels are numbers, got {text[:60]!r}") from None
        # each number by itself, so that the sum cannot overflow
        if not len(runs) or len(runs) % 2 or (runs < 0).any() or (runs[1::2] == 0).any() or (runs > SIDE**2).any():
            raise ValueError(
                f"{file}, row {row}: EncodedPixels are pairs of a gap and a length above 0, got {len(runs)} numbers, "
                f"{text[:60]!r}"
            )
        if runs.sum() > SIDE**2:
            raise ValueError(f"{file}, row {row}: the outline ends at pixel {runs.sum()} of {SIDE**2}")
        return runs.astype(np.int32)

    def get_data_info(self, idx: int) -> dict:
        """The record of an image as the pipeline's input, with its mask.

        Args:
            idx: Index of the image, within this split; negative ones count from the end.
        """
        info = super().get_data_info(idx)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for runs in self.outlines.get(int(self.records.origin[idx]), ()):
            mask |= decode_rle(runs)
        info["gt_masks"], info["mask_classes"] = mask[None], self.mask_classes
        return info
