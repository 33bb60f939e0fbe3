"""VinDr-CXR (Nguyen et al., Scientific Data 2022), as Kaggle's VinBigData challenge and as PhysioNet ships it."""

import numpy as np
from mmengine.logging import print_log

from ...registry import DATASETS
from ..labels import normal_form
from ..records import Records
from ..tables import Table, read_csv
from .images_by_id import ImagesById


class _Votes(ImagesById):
    """Images read by three radiologists, whose votes are the labels."""

    SUFFIX = ".dicom"

    def __init__(self, data_root: str, *args: object, min_readers: int = 2, **kwargs: object) -> None:
        if min_readers not in (1, 2, 3):
            raise ValueError(f"three radiologists read an image: min_readers must be 1, 2 or 3, got {min_readers}")
        self.min_readers = min_readers
        super().__init__(data_root, *args, **kwargs)

    @staticmethod
    def vote(readers: np.ndarray, enough: int) -> np.ndarray:
        """Labels, float32, from the number of readers who marked a finding, of whom `enough` make it positive."""
        return np.where(readers >= enough, 1.0, np.where(readers == 0, 0.0, np.nan)).astype(np.float32)


@DATASETS.register_module()
class VinBigCXR(_Votes):
    """15,000 radiographs with boxes of 14 findings by three radiologists each: Kaggle's VinBigData challenge.

    The folder as downloaded: `train.csv` (image_id, class_name, rad_id, boxes) and `train/`, with `.dicom` or converted
    images named by image_id. A label is a vote: positive if at least `min_readers` of the three marked the finding,
    negative if none did, else unknown (NaN). No splits and no patients are published.

    Args:
        min_readers: 1, 2 or 3.
        **kwargs: See :class:`~otcxr_mm.datasets.collections.images_by_id.ImagesById`.
    """

    METAINFO = {
        "classes": (
            *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD"),
            *("Infiltration", "Lung Opacity", "Nodule/Mass", "Other lesion", "Pleural effusion", "Pleural thickening"),
            *("Pneumothorax", "Pulmonary fibrosis"),
        )
    }
    TABLE, FOLDER = "train.csv", "train"
    collection = "VinBigData"

    def load_records(self) -> Records:
        """Reads the table and counts the readers of each finding."""
        table = read_csv(self.root / self.ann_file, ("image_id", "class_name", "rad_id"), only=())
        table.require_inside("image_id")
        classes = self.METAINFO["classes"]
        table.require_values("class_name", (*classes, "No finding"))
        image, image_of = np.unique(table["image_id"], return_inverse=True)
        readers = np.zeros((len(image), len(classes)), np.int64)
        # a reader may draw several boxes of a finding: they count once
        marks = set(zip(image_of.tolist(), table["class_name"].tolist(), table["rad_id"].tolist(), strict=True))
        found = np.array([(i, classes.index(name)) for i, name, _ in marks if name in classes], int).reshape(-1, 2)
        np.add.at(readers, tuple(found.T), 1)
        return Records(self.image_paths(image), labels=self.vote(readers, self.min_readers))


@DATASETS.register_module()
class VinDrCXR(_Votes):
    """18,000 radiographs with 27 findings and diagnoses: VinDr-CXR as PhysioNet ships it.

    The folder as downloaded: `annotations/image_labels_train.csv` (one row per image and radiologist),
    `annotations/image_labels_test.csv` (one row per image: the consensus of five), `train/` and `test/`, with `.dicom`
    or converted images named by image_id. Training labels are votes, as in :class:`VinBigCXR`. Findings that the tables
    have no column for are unknown (NaN), which is logged. No patients are published.

    Args:
        split: ``'train'``, ``'test'`` or ``'all'``; with `split_file` or `split_by_hash` a split of that.
        **kwargs: See :class:`VinBigCXR`.
    """

    METAINFO = {
        "classes": (
            *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture"),
            *("Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity"),
            *("Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pleural effusion"),
            *("Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion", "COPD"),
            *("Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases"),
        )
    }
    SPLITS = ("train", "test")
    collection = "VinDr-CXR"

    def __init__(self, data_root: str, split: str = "train", **kwargs: object) -> None:
        super().__init__(data_root, split=split, **kwargs)

    def load_records(self) -> Records:
        """Reads the tables of the splits asked for."""
        paths, splits, labels = [], [], []
        for split in self.splits_to_read:
            table = read_csv(self.root / "annotations" / f"image_labels_{split}.csv", ("image_id",))
            table.require_inside("image_id")
            image, label = self._labels(table)
            paths.append(self.image_paths(image, split))
            splits.append(np.full(len(image), split))
            labels.append(label)
        return Records(np.concatenate(paths), split=np.concatenate(splits), labels=np.concatenate(labels))

    def _labels(self, table: Table) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of a table; a table without rad_id is a consensus."""
        column_of = {normal_form(name): name for name in table}
        # in the singular in some versions of the tables
        column_of.setdefault("other diseases", column_of.get("other disease"))
        classes = self.METAINFO["classes"]
        absent = [name for name in classes if column_of.get(normal_form(name)) is None]
        if absent:
            print_log(f"{table.file}: no column for {absent}, which are unknown (NaN)", "current")
        image, image_of = np.unique(table["image_id"], return_inverse=True)
        labels = np.full((len(image), len(classes)), np.nan, np.float32)
        for c, name in enumerate(classes):
            if name not in absent:
                column = column_of[normal_form(name)]
                table.require_values(column, ("0", "1", "0.0", "1.0"))
                marks = np.bincount(image_of, np.char.startswith(table[column], "1"), len(image))
                labels[:, c] = self.vote(marks, self.min_readers if "rad_id" in table else 1)
        return image, labels
