"""Radiographs without labels: a folder, a list or a csv."""

import os
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ...registry import DATASETS
from ..base import BaseCXRDataset
from ..dicom_headers import read_headers
from ..image_files import SUFFIXES, walk_images
from ..records import Records, parse_ages, parse_sexes
from ..splits import IMAGE_COLUMNS, SPLIT_COLUMNS, patient_column
from ..tables import Table, alike, first_column, read_csv, read_list

# compared by alike(), which ignores case, spaces, '_' and '-'
VIEW_COLUMNS = ("View Position", "view")
AGE_COLUMNS = ("Patient Age", "Age")
SEX_COLUMNS = ("Patient Gender", "Patient Sex", "Sex", "Gender")


@DATASETS.register_module()
class UnlabeledCXR(BaseCXRDataset):
    """Images to pre-train on; a folder is enough.

    Args:
        data_root: A folder, searched with its subfolders except hidden ones; or the folder that the paths in the list
            or csv are relative to.
        ann_file: A list (`.txt`, one path per line) or a csv with a column of paths and optionally of patients, splits,
            views, ages and sexes; '' for all images of the folder.
        img_prefix: Folder between `data_root` and the paths of `ann_file`.
        path_column: Column of paths; default: the first of Image Index, path, filename, image, image_id, regardless of
            case, spaces, hyphens and underscores.
        patient_column: Column of patients; '' if no column names patients. Default: the first of Patient ID, patient,
            patient number, pid, mrn, subject, ..., if there is one.
        dicom_headers: Whether to read patients, ages, sexes and views that no column gives from the headers of DICOM
            files (:func:`.dicom_headers.read_headers`).
        **kwargs: See :class:`BaseCXRDataset`.

    Raises:
        FileNotFoundError: If the folder, the table or a listed image is missing.
        ValueError: If there is no image or no such column, a patient appears in more than one split, or a column may
            name patients and `patient_column` is not given.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str = "",
        img_prefix: str = "",
        path_column: str | None = None,
        patient_column: str | None = None,
        dicom_headers: bool = True,
        **kwargs: object,
    ) -> None:
        self.img_prefix, self.path_column, self.patient_column = img_prefix, path_column, patient_column
        self.dicom_headers = dicom_headers
        super().__init__(data_root, ann_file=ann_file, **kwargs)

    def load_records(self) -> Records:
        """Lists the folder, or reads the list or csv."""
        return self._read()[0]

    def _read(self) -> tuple[Records, Table | None]:
        """The records, and the columns of the csv or None."""
        records, table = self._read_table()
        if self.dicom_headers:
            read_headers(records, self.root, self._source(), patients=self.patient_column != "")
        return records, table

    def _read_table(self) -> tuple[Records, Table | None]:
        if not self.ann_file:
            found = walk_images(self.root, self.img_prefix)
            if not found:
                start = self.root / self.img_prefix
                raise ValueError(f"{start}: no images ({', '.join(SUFFIXES)}) in this folder or below it")
            return Records(np.array(found)), None
        file = self.root / self.ann_file
        if file.suffix.lower() != ".csv":
            return Records(self._prefixed(read_list(file))), None
        table = read_csv(file)
        path = table[first_column(table, IMAGE_COLUMNS, file, "path", self.path_column)]
        if (path == "").any():
            raise ValueError(f"{file}, row {table.lines[path == ''][0]}: no path")
        records = Records(self._prefixed(path))
        column = patient_column(table, self.patient_column, file)
        if column is not None:
            records.patient = table[column]
        if self.needs_published_splits and (self.split != "all" or alike(table, SPLIT_COLUMNS)):
            records.split = table[first_column(table, SPLIT_COLUMNS, file, "split")]
        for name in alike(table, VIEW_COLUMNS)[:1]:
            records.view = table[name]
        self._read_person(records, table, file)
        return records, table

    def _read_person(self, records: Records, table: Table, file: Path) -> None:
        """Reads ages and sexes; columns with such names that hold something else are errors only if a filter is set."""
        for name, columns, parse, needed in (
            ("age", AGE_COLUMNS, parse_ages, self.ages is not None),
            ("sex", SEX_COLUMNS, parse_sexes, self.sexes is not None),
        ):
            found = alike(table, columns)
            if not needed and not found:
                continue
            column = found[0] if found else first_column(table, columns, file, name)
            try:
                setattr(records, name, parse(table[column], file, table.lines))
            except ValueError as error:
                if needed:
                    raise
                print_log(f"column {column!r} is ignored: {error}", "current")

    def _prefixed(self, path: np.ndarray) -> np.ndarray:
        return np.array([os.path.join(self.img_prefix, p) for p in path.tolist()])
