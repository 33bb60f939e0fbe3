"""Data sets whose tables name images by an id, without folder or extension."""

import numpy as np

from ..base import BaseCXRDataset
from ..image_files import find_by_stem


class ImagesById(BaseCXRDataset):
    """Base of data sets whose tables name images by id; images are the publisher's DICOM, or converted ones.

    Args:
        data_root: Folder of the table and the images.
        ann_file: The table; '' for the publisher's name.
        img_prefix: Folder of the images, searched with its subfolders; None for the publisher's.
        **kwargs: See :class:`otcxr_mm.BaseCXRDataset`, also for errors.
    """

    TABLE = FOLDER = ""
    # extension of the publisher's images
    SUFFIX = ".dcm"

    def __init__(
        self,
        data_root: str,
        ann_file: str = "",
        img_prefix: str | None = None,
        **kwargs: object,
    ) -> None:
        self.img_prefix = self.FOLDER if img_prefix is None else img_prefix
        super().__init__(data_root, ann_file or self.TABLE, **kwargs)

    def image_paths(self, ids: np.ndarray, prefix: str | None = None) -> np.ndarray:
        """Paths of images by id, below `prefix` (default `img_prefix`)."""
        prefix = self.img_prefix if prefix is None else prefix
        return find_by_stem(self.root, prefix, ids, self.SUFFIX)
