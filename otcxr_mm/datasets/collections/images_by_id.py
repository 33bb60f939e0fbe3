"""Data sets whose tables name images by an id, without folder or extension."""

import numpy as np

from ..base import BaseCXRDataset
from ..image_files import find_by_stem


class ImagesById(BaseCXRDataset):
    """Images that the tables name by id; an id is the stem of a file."""

    def __init__(self, data_root: str, img_prefix: str, img_suffix: str | None, **kwargs: object) -> None:
        self.img_prefix, self.img_suffix = img_prefix, img_suffix
        self._listing: set[str] = set()
        super().__init__(data_root, **kwargs)

    def known_files(self) -> set[str]:
        """The files found below the folders of images."""
        return self._listing

    def image_paths(self, ids: np.ndarray, prefix: str | None = None, default: str = ".dicom") -> np.ndarray:
        """Paths of images by id, below `prefix` (default `img_prefix`)."""
        prefix = self.img_prefix if prefix is None else prefix
        paths, files = find_by_stem(self.root, prefix, ids, self.img_suffix, default)
        self._listing |= files
        return paths
