"""CheXpert (Irvin et al., AAAI 2019) as Stanford ships it, and BRAX (Reis et al., Scientific Data 2022) likewise."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...registry import DATASETS
from ..records import Records, parse_ages, parse_sexes
from ..table import Table
from ..tables import read_csv
from .report_labels import CLASSES, CODED, ReportLabels

TABLES = {"train": "train.csv", "valid": "valid.csv", "test": "test_labels.csv"}
PATH = re.compile(r"(?:[^/]+/)?(train|valid|test)/(patient\d+)/study(\d+)/(view\d+_(?:frontal|lateral)\.\w+)")
ABOUT = ("Sex", "Age", "AP/PA")


@DATASETS.register_module()
class CheXpert(ReportLabels):
    """224,316 frontal and lateral radiographs of 65,240 patients with 14 labels mined from reports, some uncertain.

    The folder as downloaded, `CheXpert-v1.0` or `CheXpert-v1.0-small`: `train.csv`, `valid.csv`, `train/` and `valid/`;
    or the four unpacked folders `CheXpert-v1.0 batch 1 (validate & csv)` to `CheXpert-v1.0 batch 4 (train 3)`. The
    labels of `valid` are a consensus of radiologists, as are those of `test`, published later (`test_labels.csv`,
    `test/`). Patients and studies are in the paths. The numbers of studies are not known to follow time, so visits are
    unknown.

    Args:
        data_root: That folder.
        ann_file: Table of the split ``'train'`` instead of `train.csv`, such as `train_visualCheXbert.csv`.
        split: ``'train'``, ``'valid'``, ``'test'``, or ``'all'`` that are there; with `split_file` or `split_by_hash` a
            split of that.
        **kwargs: See :class:`~otcxr_mm.datasets.collections.report_labels.ReportLabels`.
    """

    SPLITS = tuple(TABLES)
    collection = "CheXpert"

    def __init__(self, data_root: str, ann_file: str = "", split: str = "train", **kwargs: object) -> None:
        super().__init__(data_root, ann_file, split=split, **kwargs)

    def load_records(self) -> Records:
        """Reads the tables of the splits asked for."""
        files = {split: self._table(split) for split in self.splits_to_read}
        if len(files) > 1:
            files = {split: file for split, file in files.items() if split == "train" or file.is_file()}
        return Records.concatenate([self._read(file, split) for split, file in files.items()])

    def _table(self, split: str) -> Path:
        name = self.ann_file if self.ann_file and split == "train" else TABLES[split]
        places = [self.root, *sorted(self.root.glob("CheXpert-v1.0 batch 1*"))]
        return next((place / name for place in places if (place / name).is_file()), self.root / name)

    def _read(self, file: Path, split: str) -> Records:
        required = ("Path",) if split == "test" else ("Path", *CLASSES)
        table = read_csv(file, required, only=ABOUT, coded=CODED)
        labels = self.take_labels(table)
        split_of, patient, study, image = self._parse(table)
        place = self._places(split_of, patient)
        return Records(
            path=np.array([f"{p}/study{s}/{i}" for p, s, i in zip(place, study, image, strict=True)]),
            patient=np.array(patient),
            view=self._views(table, image),
            split=np.full(len(image), split),
            labels=labels,
            age=parse_ages(table["Age"], file) if "Age" in table else None,
            sex=parse_sexes(table["Sex"], file) if "Sex" in table else None,
            study=np.array(study),
        )

    @staticmethod
    def _parse(table: Table) -> tuple[list[str], ...]:
        """Split, patient, study and file name of each image."""
        columns: tuple[list[str], ...] = ([], [], [], [])
        for row, path in enumerate(table.pop("Path").tolist()):
            parts = PATH.fullmatch(path)
            if parts is None:
                text = f"{path!r} in column 'Path' is not like train/patient00001/study1/view1_frontal.jpg"
                raise table.error(row, text)
            for column, part in zip(columns, parts.groups(), strict=True):
                column.append(part)
        return columns

    def _places(self, split: Sequence[str], patient: Sequence[str]) -> list[str]:
        """Folder of the patient of each image."""
        folder_of: dict[str, str] = {}
        if not (self.root / "train").is_dir():
            # unpacked archives: the first one has valid/, the others the patients of the training images
            for folder in self.root.glob("CheXpert-v1.0 batch */"):
                folder_of.update((name, f"{folder.name}/{name}") for name in os.listdir(folder))
        return [folder_of.get(p) or f"{folder_of.get(s, s)}/{p}" for s, p in zip(split, patient, strict=True)]

    @staticmethod
    def _views(table: Table, image: Sequence[str]) -> np.ndarray:
        """AP or PA of frontal images, 'LATERAL', or '' for frontal images of unknown position."""
        lateral = ["lateral" in name for name in image]
        return np.where(lateral, "LATERAL", table.get("AP/PA", ""))

    def image_id(self, path: str) -> str:
        """Patient, study and view of an image by its path, for the leak audit: file names repeat."""
        return os.path.splitext("/".join(path.split("/")[-3:]))[0]


@DATASETS.register_module()
class BRAX(ReportLabels):
    """40,967 radiographs in 24,959 studies in Brazil with CheXpert's 14 labels, mined from reports in Portuguese.

    The folder as downloaded from PhysioNet: `master_spreadsheet_update.csv`, or the older `master_spreadsheet.csv`, and
    `images/` (PNG) or `Anonymized_DICOMs/`. Studies are accession numbers. Dates are fictitious, so visits are unknown.
    Ages are given in groups of five years; '85 or more' is read as 85. No splits are published.

    Args:
        data_root: That folder.
        ann_file: The table; '' for the publisher's name.
        dicom: Whether to read the DICOM files instead of the PNG files.
        **kwargs: See :class:`~otcxr_mm.datasets.collections.report_labels.ReportLabels`.
    """

    TABLES = ("master_spreadsheet_update.csv", "master_spreadsheet.csv")
    collection = "BRAX"

    def __init__(self, data_root: str, ann_file: str = "", dicom: bool = False, **kwargs: object) -> None:
        self.path_column = "DicomPath" if dicom else "PngPath"
        there = (name for name in self.TABLES if Path(data_root, name).expanduser().is_file())
        super().__init__(data_root, ann_file or next(there, self.TABLES[0]), **kwargs)

    def load_records(self) -> Records:
        """Reads the table."""
        required = (self.path_column, "PatientID", "AccessionNumber", *CLASSES)
        about = ("PatientAge", "PatientSex", "ViewPosition")
        table = read_csv(self.root / self.ann_file, required, only=about, coded=CODED)
        table.require_inside(self.path_column)
        return Records(
            path=table[self.path_column],
            patient=table["PatientID"],
            view=table.get("ViewPosition"),
            labels=self.take_labels(table),
            age=self._ages(table) if "PatientAge" in table else None,
            sex=parse_sexes(table["PatientSex"], table.file) if "PatientSex" in table else None,
            study=table["AccessionNumber"],
        )

    @staticmethod
    def _ages(table: Table) -> np.ndarray:
        return parse_ages(np.char.replace(table["PatientAge"], " or more", ""), table.file)
