"""NIH ChestX-ray14 (Wang et al., ChestX-ray8, CVPR 2017), read as NIH ships it."""

import os
from pathlib import Path

import numpy as np

from ...registry import DATASETS
from ..base import BaseCXRDataset
from ..patients import normal_ids
from ..records import Records, parse_ages, parse_sexes, parse_visits
from ..splits import split_from_lists
from ..tables import Table, read_csv

LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}
AGE, SEX, VISIT = "Patient Age", "Patient Gender", "Follow-up #"
COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "View Position")


@DATASETS.register_module()
class NIHChestXray14(BaseCXRDataset):
    """112,120 frontal radiographs of 30,805 patients with 14 findings mined from reports.

    The folder as downloaded: `images/` or `images_001/images/` to `images_012/images/`, `Data_Entry_2017*.csv`,
    `train_val_list.txt`, `test_list.txt`. The table is complete, so a finding that it does not name is negative. Tables
    of the old form (ages such as '060Y', patients '00000013', `sample_labels.csv`) are read too.

    Args:
        data_root: That folder.
        split: ``'train_val'``, ``'test'`` (the official lists) or ``'all'``; with `split_file` a split of that file.
        **kwargs: See :class:`BaseCXRDataset`, also for errors.
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
        super().__init__(data_root, split=split, **kwargs)

    def load_records(self) -> Records:
        """Reads the table, the official lists and the folders of images."""
        table = read_csv(self._table(), COLUMNS, only=(AGE, SEX, VISIT))
        table.require_inside("Image Index")
        image, split = table["Image Index"], None
        if self.within is not None or (self.split != "all" and not self.has_own_splits):
            split = split_from_lists(image, {name: self.root / file for name, file in LISTS.items()})
        return Records(
            path=self._paths(image),
            patient=normal_ids(table["Patient ID"]),
            view=table["View Position"],
            split=split,
            labels=self._labels(table),
            age=parse_ages(table[AGE], table.file) if AGE in table else None,
            sex=parse_sexes(table[SEX], table.file) if SEX in table else None,
            visit=parse_visits(table[VISIT], table.file) if VISIT in table else None,
        )

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
        if len(folders) == 1:
            return np.char.add(f"{folders[0]}/", image)
        folder_of = {name: f for f in folders for name in os.listdir(self.root / f)}
        return np.array([f"{folder_of.get(name, folders[0])}/{name}" for name in image.tolist()])

    def _labels(self, table: Table) -> np.ndarray:
        columns = {name: i for i, name in enumerate(self.METAINFO["classes"])}
        # there are few distinct combinations
        combinations, row_of = np.unique(table["Finding Labels"], return_inverse=True)
        labels = np.zeros((len(combinations), len(columns)), dtype=np.float32)
        for c, combination in enumerate(combinations.tolist()):
            for name in combination.split("|"):
                if name in columns:
                    labels[c, columns[name]] = 1
                elif name != "No Finding":
                    row = int(np.flatnonzero(row_of == c)[0])
                    raise table.error(row, f"unknown finding {name!r}; expected {sorted(columns)} or 'No Finding'")
        return labels[row_of]
