"""Radiographs without labels: a folder, a list or a csv."""

import os

import numpy as np

from ...registry import DATASETS
from ..base import BaseCXRDataset
from ..dicom_headers import read_headers
from ..image_files import SUFFIXES, walk_images
from ..patients import patient_column
from ..records import Records, parse_ages, parse_sexes, parse_visits
from ..splits import IMAGE_COLUMNS, SPLIT_COLUMNS
from ..tables import Table, read_csv, read_list

# compared by Table.alike, which ignores case, spaces, '_' and '-'
VIEW_COLUMNS = ("View Position", "view")
AGE_COLUMNS = ("Patient Age", "Age")
SEX_COLUMNS = ("Patient Gender", "Patient Sex", "Sex", "Gender")
VISIT_COLUMNS = ("Follow-up #", "visit", "visit number")
STUDY_COLUMNS = ("Study ID", "study", "accession number")


@DATASETS.register_module()
class UnlabeledCXR(BaseCXRDataset):
    """Images to pre-train on; a folder is enough.

    Args:
        data_root: A folder, searched with its subfolders except hidden ones; or the folder that the paths in the list
            or csv are relative to.
        ann_file: A list (`.txt`, one path per line) or a csv with a column of paths and optionally of patients, splits,
            views, ages, sexes, studies and numbers of visits; '' for all images of the folder.
        img_prefix: Folder between `data_root` and the paths of `ann_file`.
        path_column: Column of paths; default: the first of Image Index, path, filename, image, image_id, regardless of
            case, spaces, hyphens and underscores.
        patient_column: Column of patients; '' if no column names patients. Default: the first of Patient ID, patient,
            patient number, pid, mrn, subject, ..., if there is one.
        dicom_headers: Whether to read patients, ages, sexes and views that no column gives from the headers of DICOM
            files (:func:`.dicom_headers.read_headers`).
        **kwargs: See :class:`BaseCXRDataset`, also for errors.
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
        super().__init__(data_root, ann_file, **kwargs)

    def load_records(self) -> Records:
        """Lists the folder, or reads the list or csv."""
        file = self.root / self.ann_file
        if not self.ann_file:
            paths = walk_images(self.root, self.img_prefix)
            if not paths:
                start = self.root / self.img_prefix
                raise ValueError(f"{start}: no images ({', '.join(SUFFIXES)}) in this folder or below it")
            records = Records(np.array(paths))
        elif file.suffix.lower() == ".csv" or self.label_names():
            records = self.read_table(read_csv(file))
        else:
            records = Records(self._prefixed(read_list(file)))
        if self.dicom_headers:
            read_headers(records, self.root, self._source(), patients=self.patient_column != "")
        return records

    def read_table(self, table: Table) -> Records:
        """The records of a csv."""
        path = table.find(IMAGE_COLUMNS, "path", self.path_column)
        records = Records(self._prefixed(table[path]))
        patient = patient_column(table, self.patient_column)
        if patient:
            records.patient = table[patient]
        for column in table.alike(SPLIT_COLUMNS)[:1]:
            records.split = table[column]
        for column in table.alike(VIEW_COLUMNS)[:1]:
            records.view = table[column]
        for column in table.alike(AGE_COLUMNS)[:1]:
            records.age = parse_ages(table[column], table.file)
        for column in table.alike(SEX_COLUMNS)[:1]:
            records.sex = parse_sexes(table[column], table.file)
        for column in table.alike(VISIT_COLUMNS)[:1]:
            records.visit = parse_visits(table[column], table.file)
        for column in table.alike(STUDY_COLUMNS)[:1]:
            records.study = table[column]
        return records

    def _prefixed(self, path: np.ndarray) -> np.ndarray:
        return np.array([os.path.join(self.img_prefix, p) for p in path.tolist()])
