"""Radiographs without labels: a folder, a list or a csv."""

import os
from pathlib import Path

import numpy as np

from ..registry import DATASETS
from .base_cxr import BaseCXRDataset, Records
from .splits import IMAGE_COLUMNS, PATIENT_COLUMNS, SPLIT_COLUMNS
from .tables import first_column, read_csv, read_list

EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


@DATASETS.register_module()
class UnlabeledCXR(BaseCXRDataset):
    """Images to pre-train on; a folder is enough.

    Args:
        data_root: A folder, searched with its subfolders but not hidden ones; or where the list's or csv's paths begin.
        ann_file: A list (`.txt`, one path a line) or a csv with a column of paths and, if it has them, of patients and
            splits; '' for all images of the folder.
        img_prefix: Folder between `data_root` and the paths of `ann_file`.
        path_column: Column of paths; default the first of Image Index, path, filename, image, image_id.
        patient_column: Column of patients; default the first of Patient ID, patient, patient_id, ... if there is one.
        **kwargs: See :class:`BaseCXRDataset`.

    Raises:
        FileNotFoundError: If the folder, the table or a listed image is missing.
        ValueError: If there is no image, no such column, or a patient stands in two splits.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str = "",
        img_prefix: str = "",
        path_column: str | None = None,
        patient_column: str | None = None,
        **kwargs: object,
    ) -> None:
        self.img_prefix, self.path_column, self.patient_column = img_prefix, path_column, patient_column
        super().__init__(data_root, ann_file=ann_file, **kwargs)

    def load_records(self) -> Records:
        """Lists the folder, or reads the list or csv."""
        if not self.ann_file:
            path = self._walk()
            blank = np.full(len(path), "")
            return Records(path, blank, blank.copy(), blank.copy())
        file = self.root / self.ann_file
        if file.suffix.lower() != ".csv":
            path = read_list(file)
            blank = np.full(len(path), "")
            return Records(self._prefixed(path), blank, blank.copy(), blank.copy())
        table = read_csv(file)
        path = table[self._column(table, self.path_column, IMAGE_COLUMNS, file, "path")]
        if (path == "").any():
            raise ValueError(f"{file}, row {int(np.flatnonzero(path == '')[0]) + 2}: no path")
        blank = np.full(len(path), "")
        patient, split = blank, blank.copy()
        if self.patient_column or any(name in table for name in PATIENT_COLUMNS):
            patient = table[self._column(table, self.patient_column, PATIENT_COLUMNS, file, "patient")]
        if self.split_file is None and (self.split != "all" or SPLIT_COLUMNS[0] in table):
            split = table[first_column(table, SPLIT_COLUMNS, file, "split")]
        return Records(self._prefixed(path), patient, blank.copy(), split)

    @staticmethod
    def _column(table: dict, given: str | None, candidates: tuple, file: Path, what: str) -> str:
        return first_column(table, (given,) if given else candidates, file, what)

    def _prefixed(self, path: np.ndarray) -> np.ndarray:
        return np.array([os.path.join(self.img_prefix, p) for p in path.tolist()])

    def _walk(self) -> np.ndarray:
        start = self.root / self.img_prefix
        found, visited = [], set()
        for folder, subfolders, names in os.walk(start, followlinks=True):
            real = os.path.realpath(folder)
            # a link may lead back up; hidden files and __MACOSX are an archive's droppings
            subfolders[:] = [] if real in visited else [s for s in subfolders if not s.startswith((".", "__MACOSX"))]
            names = [] if real in visited else [n for n in names if not n.startswith(".")]
            visited.add(real)
            relative = os.path.relpath(folder, self.root)
            found += [os.path.normpath(os.path.join(relative, n)) for n in names if n.lower().endswith(EXTENSIONS)]
        if not found:
            raise ValueError(f"{start}: no image ({', '.join(EXTENSIONS)}) in this folder or below it")
        return np.array(sorted(found))
