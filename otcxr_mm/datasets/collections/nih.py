"""NIH ChestX-ray14 (Wang et al., ChestX-ray8, CVPR 2017), read as NIH ships it."""

import os
from pathlib import Path

import numpy as np

from ...registry import DATASETS
from ..base import BaseCXRDataset
from ..records import Records, parse_ages, parse_sexes
from ..splits import normal_ids, split_from_lists
from ..tables import read_csv

LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}
AGE, SEX = "Patient Age", "Patient Gender"
COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "View Position")


@DATASETS.register_module()
class NIHChestXray14(BaseCXRDataset):
    """112,120 frontal radiographs of 30,805 patients with 14 findings mined from reports.

    The folder as downloaded: `images/` or `images_001/images/` to `images_012/images/`, `Data_Entry_2017*.csv`,
    `train_val_list.txt`, `test_list.txt`. The table is complete, so that a finding it does not name is negative. Tables
    of the old form (ages such as '060Y', patients '00000013', `sample_labels.csv`) are read too.

    Args:
        data_root: That folder.
        split: ``'train_val'``, ``'test'`` (the official lists) or ``'all'``; with `split_file` a split of that file.
        **kwargs: See :class:`BaseCXRDataset`.

    Raises:
        FileNotFoundError: If the folder, the table, a list or a listed image is missing.
        ValueError: If a column is missing, no class is known, a split is empty, or a patient appears in more than one
            split.
    """

    collection = "NIH ChestX-ray14"
    METAINFO = {
        "classes": (
            "Atelectasis",
            "Cardiomegaly",
            "Effusion",
            "Infiltration",
            "Mass",
            "Nodule",
            "Pneumonia",
            "Pneumothorax",
            "Consolidation",
            "Edema",
            "Emphysema",
            "Fibrosis",
            "Pleural_Thickening",
            "Hernia",
        )
    }

    SPLITS = tuple(LISTS)

    def __init__(self, data_root: str, split: str = "train_val", **kwargs: object) -> None:
        self._listing: set[str] | None = None
        super().__init__(data_root, split=split, **kwargs)

    def load_records(self) -> Records:
        """Reads the table, the official lists and the folders of images.

        Raises:
            FileNotFoundError: If the table, a list or the folder of images is missing.
            ValueError: If an image is in two rows or two lists, or a finding is unknown.
        """
        table_file = self._table()
        table = read_csv(table_file, COLUMNS, only=(AGE, SEX))
        image = table["Image Index"]
        unique, first, counts = np.unique(image, return_index=True, return_counts=True)
        if len(unique) < len(image):
            twice = unique[counts > 1][0]
            raise ValueError(
                f"{table_file}: {twice} is listed in several rows, first in row {image.tolist().index(twice) + 2}"
            )
        split = np.full(len(image), "")
        if self.split != "all" and self.needs_published_splits:
            split = split_from_lists(image, {name: self.root / file for name, file in LISTS.items()})
        return Records(
            path=self._paths(image),
            patient=normal_ids(table["Patient ID"]),
            view=table["View Position"],
            split=split,
            labels=self._labels(table["Finding Labels"], table_file),
            age=parse_ages(table[AGE], table_file) if AGE in table else None,
            sex=parse_sexes(table[SEX], table_file) if SEX in table else None,
        )

    def known_files(self) -> set[str] | None:
        """All images of the folders, from one listing each."""
        return self._listing

    def _table(self) -> Path:
        if self.ann_file:
            return self.root / self.ann_file
        tables = sorted(self.root.glob("Data_Entry_2017*.csv"))
        if not tables:
            raise FileNotFoundError(
                f"{self.root}: no Data_Entry_2017*.csv, the table of NIH ChestX-ray14: download it into this folder, "
                "or name another one with ann_file"
            )
        return tables[-1]  # NIH's corrected one of 2020 sorts last

    def _paths(self, image: np.ndarray) -> np.ndarray:
        folders = [Path("images"), *(Path(p.name, "images") for p in sorted(self.root.glob("images_*")))]
        folders = [f for f in folders if (self.root / f).is_dir()]
        if not folders:
            raise FileNotFoundError(f"{self.root}: neither images/ nor images_001/images/: unpack NIH's archives here")
        if len(folders) == 1 and not (self.check_files or self.skip_missing):
            return np.char.add(f"{folders[0]}/", image)
        folder_of = {name: str(f) for f in folders for name in os.listdir(self.root / f)}
        self._listing = {f"{folder}/{name}" for name, folder in folder_of.items()}
        return np.array([f"{folder_of.get(name, folders[0])}/{name}" for name in image.tolist()])

    def _labels(self, findings: np.ndarray, table_file: Path) -> np.ndarray:
        columns = {name: i for i, name in enumerate(self.METAINFO["classes"])}
        known = {*columns, "No Finding"}
        labels = np.zeros((len(findings), len(columns)), dtype=np.float32)
        # few of the combinations differ
        combinations, row_of = np.unique(findings, return_inverse=True)
        for c, combination in enumerate(combinations.tolist()):
            names = combination.split("|")
            for name in names:
                if name not in known:
                    row = int(np.flatnonzero(row_of == c)[0]) + 2
                    raise ValueError(f"{table_file}, row {row}: unknown finding {name!r}; known are {sorted(known)}")
            hit = [columns[name] for name in names if name in columns]
            labels[np.ix_(row_of == c, hit)] = 1
        return labels
