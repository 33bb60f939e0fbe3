"""MIMIC-CXR-JPG (Johnson et al., arXiv:1901.07042) as PhysioNet ships it, and the DICOM files of MIMIC-CXR."""

from collections import defaultdict
from itertools import compress
from pathlib import Path

import numpy as np

from ...registry import DATASETS
from ..columns import NUMBERS
from ..records import Records, visits_in_order
from ..table import Table, rows_of
from ..tables import CHUNK, read_csv
from .report_labels import CLASSES, CODED, ReportLabels

TABLE = "mimic-cxr-2.0.0-{}.csv"
LABELERS = ("chexpert", "negbio")
TIMES = ("StudyDate", "StudyTime")


@DATASETS.register_module()
class MIMICCXR(ReportLabels):
    """377,110 radiographs of 65,379 patients with 14 labels mined from reports by CheXpert's labeler or by NegBio.

    The folder as downloaded: `mimic-cxr-2.0.0-metadata.csv.gz`, `mimic-cxr-2.0.0-split.csv.gz`,
    `mimic-cxr-2.0.0-chexpert.csv.gz` or `mimic-cxr-2.0.0-negbio.csv.gz`, each also unpacked (`.csv`), and
    `files/p10/p10000032/s50414267/*.jpg`. For the DICOM files of MIMIC-CXR, which has the same tree, put the three
    tables of MIMIC-CXR-JPG beside `files/` and set ``suffix='.dcm'``. Labels belong to studies; those of studies
    without a row are unknown. Dates are shifted by patient, which keeps the order of a patient's studies: visits are
    numbered in that order. Ages and sexes are not in these tables.

    Args:
        data_root: That folder.
        split: ``'train'``, ``'validate'``, ``'test'`` (official, by patient) or ``'all'``; with `split_file` or
            `split_by_hash` a split of that.
        labeler: ``'chexpert'`` or ``'negbio'``, whose labels to read.
        img_prefix: Folder of the images.
        suffix: Extension of the images.
        **kwargs: See :class:`~otcxr_mm.datasets.collections.report_labels.ReportLabels`.
    """

    SPLITS = ("train", "validate", "test")
    collection = "MIMIC-CXR"

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        labeler: str = "chexpert",
        img_prefix: str = "files",
        suffix: str = ".jpg",
        **kwargs: object,
    ) -> None:
        if labeler not in LABELERS:
            raise ValueError(f"MIMICCXR: labeler must be one of {list(LABELERS)}, got {labeler!r}")
        self.labeler, self.img_prefix, self.suffix = labeler, img_prefix, suffix
        super().__init__(data_root, split=split, **kwargs)

    def load_records(self) -> Records:
        """Reads the three tables."""
        # numbered as they come
        place_of: defaultdict[str, int] = defaultdict()
        place_of.default_factory = place_of.__len__
        table = read_csv(
            self._table("metadata"),
            ("dicom_id", "subject_id", "study_id"),
            only=("ViewPosition",),
            coded={"dicom_id": place_of, **dict.fromkeys(TIMES, NUMBERS)},
        )
        images = list(place_of)
        self._check_images(table, images)
        split = self._splits(table, images, place_of)
        del place_of
        wanted = np.isin(split, self.splits_to_read)
        if not wanted.any():
            raise ValueError(f"{self._table('split')}: no image is in {list(self.splits_to_read)}")
        if not wanted.all():
            table.keep(wanted)
            split, images = split[wanted], list(compress(images, wanted.tolist()))
        study = table.integers("study_id")
        visit = visits_in_order(table.integers("subject_id"), study, self._times(table))
        labels = self._labels(study)
        return Records(
            path=self._paths(table, images),
            patient=table.pop("subject_id"),
            view=table.get("ViewPosition"),
            split=split,
            labels=labels,
            visit=visit,
            study=table.pop("study_id"),
        )

    def _table(self, name: str) -> Path:
        plain = self.root / TABLE.format(name)
        return plain if plain.is_file() else plain.with_suffix(".csv.gz")

    @staticmethod
    def _check_images(table: Table, images: list[str]) -> None:
        place = table.pop("dicom_id")
        twice = np.flatnonzero(place != np.arange(len(place)))
        if len(twice):
            row, first = int(twice[0]), int(place[twice[0]])
            raise table.error(row, f"dicom_id {images[first]} is also in row {table.lines[first]}: keep one of them")
        table.require_inside("dicom_id", images)

    def _splits(self, table: Table, images: list[str], place_of: defaultdict[str, int]) -> np.ndarray:
        """Split of each image, (n,)."""
        file, names = self._table("split"), {name: i for i, name in enumerate(self.SPLITS)}
        place_of.default_factory = lambda: -1  # images that the table does not have
        splits = read_csv(file, ("dicom_id", "split"), only=(), coded={"dicom_id": place_of, "split": names})
        place, number = splits["dicom_id"].astype(np.int64), np.full(len(images), -1)
        counts = np.bincount(place[place >= 0], minlength=len(images))
        if counts.max() > 1:
            row = int(np.flatnonzero(place == counts.argmax())[-1])
            raise splits.error(row, f"dicom_id {images[counts.argmax()]} is in several rows: keep one of them")
        number[place[place >= 0]] = splits["split"][place >= 0]
        if (number < 0).any():
            row = int(np.flatnonzero(number < 0)[0])
            raise table.error(row, f"dicom_id {images[row]} has no row in {file}")
        return np.array(self.SPLITS)[number]

    def _paths(self, table: Table, images: list[str]) -> np.ndarray:
        """Paths of the images, (n,); empties their list of names."""
        patients, studies = table["subject_id"], table["study_id"]
        start, end = f"{self.img_prefix}/" if self.img_prefix else "", self.suffix
        width = len(f"{start}p10/p/s/{end}") + max(map(len, images))
        width += sum(column.dtype.itemsize // 4 for column in (patients, studies))  # 4 bytes a letter
        # chunk by chunk, freeing the names: half a million strings of Python beside the array would take another 100 MB
        paths = np.empty(len(images), f"<U{width}")
        for first in range(0, len(images), CHUNK):
            part = slice(first, first + CHUNK)
            people, exams = patients[part].tolist(), studies[part].tolist()
            paths[part] = [
                f"{start}p{p[:2]}/p{p}/s{s}/{i}{end}" for i, p, s in zip(images[part], people, exams, strict=True)
            ]
            images[part] = [""] * len(people)
        return paths

    def _labels(self, study: np.ndarray) -> np.ndarray:
        table = read_csv(self._table(self.labeler), ("study_id", *CLASSES), only=(), coded=CODED)
        table.require_unique("study_id")
        return self.take_labels(table, rows_of(table.integers("study_id"), study))

    @staticmethod
    def _times(table: Table) -> np.ndarray:
        """Date and time of each image as one number, such as 21800506213014.5; NaN without columns of them."""
        date, time = map(table.numbers, TIMES)
        for column in TIMES:
            table.pop(column, None)
        return date * 1e6 + time
