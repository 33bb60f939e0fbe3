"""VinDr-CXR (Nguyen et al., Scientific Data 2022), as Kaggle's VinBigData challenge and as PhysioNet ships it."""

from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ...registry import DATASETS
from ..labels import check_vote, normal_form, vote
from ..records import Records
from ..tables import read_csv, require_filled, require_values
from .images_by_id import ImagesById

NO_PATIENTS = "VinBigData publishes no patient id: nothing keeps a patient out of two splits"
NO_FINDING = "No finding"


@DATASETS.register_module()
class VinBigCXR(ImagesById):
    """15,000 radiographs with boxes of 14 findings by three radiologists each: Kaggle's VinBigData challenge.

    The folder as downloaded: `train.csv` (image_id, class_name, class_id, rad_id, boxes) and `train/`, with `.dicom` or
    converted images named by image_id. A label is a vote: positive where at least `min_readers` of the three marked the
    finding, negative where none did, and what `disputed` says between.

    Args:
        data_root: That folder.
        ann_file: The table.
        img_prefix: Folder of the images, searched with its subfolders.
        img_suffix: Extension of the images, where they are there in several; None for any.
        min_readers: 1, 2 or 3.
        disputed: ``'unknown'`` (NaN), ``'positive'`` or ``'negative'`` for findings of fewer readers.
        **kwargs: See :class:`BaseCXRDataset`. No splits and no patients are published.

    Raises:
        FileNotFoundError: If the folder, the table or a listed image is missing.
        ValueError: If a column is missing, a finding or its number is unknown, a reader finds something and nothing in
            one image, or an image is there twice.
    """

    METAINFO = {
        "classes": (
            "Aortic enlargement",
            "Atelectasis",
            "Calcification",
            "Cardiomegaly",
            "Consolidation",
            "ILD",
            "Infiltration",
            "Lung Opacity",
            "Nodule/Mass",
            "Other lesion",
            "Pleural effusion",
            "Pleural thickening",
            "Pneumothorax",
            "Pulmonary fibrosis",
        )
    }
    collection = "VinBigData"
    PATIENT_NOTE = NO_PATIENTS

    def __init__(
        self,
        data_root: str,
        ann_file: str = "train.csv",
        img_prefix: str = "train",
        img_suffix: str | None = None,
        min_readers: int = 2,
        disputed: str = "unknown",
        **kwargs: object,
    ) -> None:
        check_vote("VinBigCXR", min_readers, disputed)
        self.min_readers, self.disputed = min_readers, disputed
        super().__init__(data_root, img_prefix, img_suffix, ann_file=ann_file, **kwargs)

    def load_records(self) -> Records:
        """Reads the table and counts the readers of each finding.

        Raises:
            FileNotFoundError: If the table is missing.
            ValueError: If rows contradict each other; names the row.
        """
        file = self.root / self.ann_file
        table = read_csv(file, ("image_id", "class_name", "rad_id"), only=("class_id",))
        for column in ("image_id", "rad_id"):
            require_filled(table[column], file, column)
        names = (*self.METAINFO["classes"], NO_FINDING)
        require_values(table["class_name"], names, file, "class_name")
        number = {name: str(i) for i, name in enumerate(names)}
        if "class_id" in table:
            meant = np.array([number[name] for name in table["class_name"].tolist()])
            wrong = np.flatnonzero(meant != table["class_id"])
            if len(wrong):
                row = wrong[0]
                raise ValueError(
                    f"{file}, row {row + 2}: class_id {str(table['class_id'][row])!r} is not that of "
                    f"{str(table['class_name'][row])!r}, {meant[row]}"
                )
        image, image_of = np.unique(table["image_id"], return_inverse=True)
        reader, reader_of = np.unique(table["rad_id"], return_inverse=True)
        class_of = np.array([int(number[name]) for name in table["class_name"].tolist()])
        reading_of = image_of * len(reader) + reader_of
        nothing = class_of == len(names) - 1
        torn = np.intersect1d(reading_of[nothing], reading_of[~nothing])
        if len(torn):
            row = int(np.flatnonzero(reading_of == torn[0])[0])
            raise ValueError(
                f"{file}, row {row + 2}: reader {reader[reader_of[row]]} finds both something and {NO_FINDING!r} in "
                f"{image[image_of[row]]}"
            )
        # a reader may draw several boxes of a finding: they count once
        marks = np.unique(reading_of * len(names) + class_of)
        readers = np.zeros((len(image), len(names)), dtype=np.int64)
        np.add.at(readers, (marks // (len(names) * len(reader)), marks % len(names)), 1)
        labels = vote(readers[:, :-1], self.min_readers, self.disputed)
        return Records(self.image_paths(image), labels=labels)


@DATASETS.register_module()
class VinDrCXR(ImagesById):
    """18,000 radiographs with 27 findings and diagnoses: VinDr-CXR as PhysioNet ships it.

    The folder as downloaded: `annotations/image_labels_train.csv` (a row an image and radiologist, three an image),
    `annotations/image_labels_test.csv` (a row an image: the consensus of five), `train/` and `test/`, with `.dicom` or
    converted images named by image_id. Training labels are votes, as in :class:`VinBigCXR`. Findings that the tables
    have no column for are unknown (NaN), which is logged.

    Args:
        data_root: That folder.
        split: ``'train'``, ``'test'`` or ``'all'``; with `split_file` or `split_by_hash` a split of that.
        img_suffix: Extension of the images, where they are there in several; None for any.
        min_readers: 1, 2 or 3.
        disputed: ``'unknown'`` (NaN), ``'positive'`` or ``'negative'`` for findings of fewer readers.
        **kwargs: See :class:`BaseCXRDataset`. No patients are published.

    Raises:
        FileNotFoundError: If the folder, a table or a listed image is missing.
        ValueError: If a column is missing, a field is not 0 or 1, or an image is there twice.
    """

    METAINFO = {
        "classes": (
            "Aortic enlargement",
            "Atelectasis",
            "Calcification",
            "Cardiomegaly",
            "Clavicle fracture",
            "Consolidation",
            "Edema",
            "Emphysema",
            "Enlarged PA",
            "ILD",
            "Infiltration",
            "Lung Opacity",
            "Lung cavity",
            "Lung cyst",
            "Mediastinal shift",
            "Nodule/Mass",
            "Pleural effusion",
            "Pleural thickening",
            "Pneumothorax",
            "Pulmonary fibrosis",
            "Rib fracture",
            "Other lesion",
            "COPD",
            "Lung tumor",
            "Pneumonia",
            "Tuberculosis",
            "Other diseases",
        )
    }
    SPLITS = ("train", "test")
    collection = "VinDr-CXR"
    PATIENT_NOTE = NO_PATIENTS

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        img_suffix: str | None = None,
        min_readers: int = 2,
        disputed: str = "unknown",
        **kwargs: object,
    ) -> None:
        check_vote("VinDrCXR", min_readers, disputed)
        self.min_readers, self.disputed = min_readers, disputed
        super().__init__(data_root, "", img_suffix, split=split, **kwargs)

    def load_records(self) -> Records:
        """Reads the tables of the splits asked for."""
        only_one = self.split != "all" and not self.splits_of_ones_own
        paths, splits, labels = [], [], []
        for split in (self.split,) if only_one else self.SPLITS:
            image, label = self._read(self.root / "annotations" / f"image_labels_{split}.csv")
            paths.append(self.image_paths(image, split))
            splits.append(np.full(len(image), split))
            labels.append(label)
        return Records(np.concatenate(paths), split=np.concatenate(splits), labels=np.concatenate(labels))

    def _read(self, file: Path) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of a table; a table without rad_id is a consensus."""
        table = read_csv(file, ("image_id",))
        require_filled(table["image_id"], file, "image_id")
        column_of = {normal_form(name): name for name in table}
        # the word is in the plural in some versions of the tables
        column_of.setdefault("other diseases", column_of.get("other disease"))
        names = self.METAINFO["classes"]
        columns = [column_of.get(normal_form(name)) for name in names]
        absent = [name for name, column in zip(names, columns, strict=True) if column is None]
        if len(absent) == len(names):
            raise ValueError(f"{file}: no column of a finding, such as {names[0]!r}; the columns are {list(table)}")
        if absent:
            print_log(f"{file}: no column for {absent}, which are unknown (NaN)", "current")
        image, image_of = np.unique(table["image_id"], return_inverse=True)
        voted = "rad_id" in table
        self._check_rows(table, image, image_of, file)
        labels = np.full((len(image), len(names)), np.nan, np.float32)
        for c, column in enumerate(columns):
            if column is None:
                continue
            values = table[column]
            require_values(values, ("0", "1", "0.0", "1.0"), file, column)
            marks = np.bincount(image_of, np.char.startswith(values, "1"), len(image))
            labels[:, c] = vote(marks, self.min_readers if voted else 1, self.disputed)
        return image, labels

    @staticmethod
    def _check_rows(table: dict, image: np.ndarray, image_of: np.ndarray, file: Path) -> None:
        """Fails if an image, or an image and reader, stands in two rows."""
        readers = table.get("rad_id", np.full(len(image_of), ""))
        key = image_of * (len(readers) + 1) + np.unique(readers, return_inverse=True)[1]
        _, first = np.unique(key, return_index=True)
        if len(first) < len(key):
            row = int(np.setdiff1d(np.arange(len(key)), first)[0])
            reader = f" of reader {readers[row]}" if readers[row] else ""
            raise ValueError(
                f"{file}, row {row + 2}: a second row{reader} for {image[image_of[row]]}: keep one of them"
            )
