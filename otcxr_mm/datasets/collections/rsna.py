"""RSNA Pneumonia Detection Challenge 2018 (Shih et al., Radiology: AI 2019), read as Kaggle ships it."""

from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ...registry import DATASETS
from ..records import Records, parse_ages, parse_sexes
from ..tables import read_csv, require_filled, require_values
from .images_by_id import ImagesById

BOX = ("x", "y", "width", "height")
OPACITY, NORMAL = "Lung Opacity", "Normal"
DETAILS = (OPACITY, "No Lung Opacity / Not Normal", NORMAL)


@DATASETS.register_module()
class RSNAPneumonia(ImagesById):
    """26,684 radiographs with boxes of lung opacities suspicious for pneumonia.

    The folder as downloaded: `stage_2_train_labels.csv` (patientId, box, Target; a row a box),
    `stage_2_detailed_class_info.csv` if it is there, and `stage_2_train_images/`, with `.dcm` or converted images named
    by patientId. Classes: 'Pneumonia' (Target, which is an opacity suspicious for it) and 'Normal', which only the
    detailed table knows: without it NaN.

    The column patientId is an id of the image, one each: no patient is known. The images are from NIH ChestX-ray14, so
    that a network pre-trained there has seen them.

    Args:
        data_root: That folder.
        ann_file: The table of boxes.
        detail_file: The table of detailed classes; read if it is there.
        header_file: A csv of the DICOM headers with a column `PatientID` and, if it has them, `PatientAge`,
            `PatientSex`, `ViewPosition`, for the filters; '' for none.
        img_prefix: Folder of the images, searched with its subfolders.
        img_suffix: Extension of the images, where they are there in several; None for any.
        **kwargs: See :class:`BaseCXRDataset`. No splits are published for the images with labels.

    Raises:
        FileNotFoundError: If the folder, a table or a listed image is missing.
        ValueError: If a column is missing, a field is wrong, rows contradict each other, or an image is there twice.
    """

    METAINFO = {"classes": ("Pneumonia", "Normal")}
    collection = "RSNA pneumonia"
    PATIENT_NOTE = "RSNA's patientId is one an image, no patient is known: nothing keeps a patient out of two splits"

    def __init__(
        self,
        data_root: str,
        ann_file: str = "stage_2_train_labels.csv",
        detail_file: str = "stage_2_detailed_class_info.csv",
        header_file: str = "",
        img_prefix: str = "stage_2_train_images",
        img_suffix: str | None = None,
        **kwargs: object,
    ) -> None:
        self.detail_file, self.header_file = detail_file, header_file
        super().__init__(data_root, img_prefix, img_suffix, ann_file=ann_file, **kwargs)

    def load_records(self) -> Records:
        """Reads the tables."""
        file = self.root / self.ann_file
        table = read_csv(file, ("patientId", *BOX, "Target"))
        require_filled(table["patientId"], file, "patientId")
        require_values(table["Target"], ("0", "1"), file, "Target")
        target = table["Target"] == "1"
        for column in BOX:
            self._check_box(table[column], target, file, column)
        image, first, image_of = np.unique(table["patientId"], return_index=True, return_inverse=True)
        self._check_agreement(target, first, image_of, image, file, "Target")
        labels = np.full((len(image), 2), np.nan, np.float32)
        labels[:, 0] = target[first]
        detail_file = self.root / self.detail_file
        if self.detail_file and detail_file.is_file():
            labels[:, 1] = self._normal(detail_file, image, target[first])
        else:
            print_log(f"{detail_file}: not there, so that 'Normal' is unknown (NaN)", "current")
        records = Records(self.image_paths(image, default=".dcm"), labels=labels)
        if self.header_file:
            self._read_headers(records, image)
        return records

    @staticmethod
    def _check_box(values: np.ndarray, target: np.ndarray, file: Path, column: str) -> None:
        """Fails unless there are numbers where Target is 1, and nothing elsewhere."""
        numbers = np.full(len(values), np.nan)
        for row in np.flatnonzero((values != "") & (np.char.lower(values) != "nan")).tolist():
            try:
                numbers[row] = float(values[row])
            except ValueError:
                raise ValueError(
                    f"{file}, row {row + 2}: {str(values[row])!r} in column {column!r} is not a number"
                ) from None
        wrong = np.flatnonzero(np.isfinite(numbers) != target)
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(
                f"{file}, row {row + 2}: Target {int(target[row])}, but {str(values[row])!r} in column {column!r} of "
                "its box: the row is damaged"
            )

    @staticmethod
    def _check_agreement(
        values: np.ndarray, first: np.ndarray, image_of: np.ndarray, image: np.ndarray, file: Path, column: str
    ) -> None:
        """Fails if the rows of an image differ in a column."""
        wrong = np.flatnonzero(values != values[first][image_of])
        if len(wrong):
            row = int(wrong[0])
            other = first[image_of[row]] + 2
            name = image[image_of[row]]
            raise ValueError(f"{file}, row {row + 2}: {column} of {name} is another one than in row {other}")

    def _normal(self, file: Path, image: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Label 'Normal' of each image, NaN for images that the detailed table does not name."""
        table = read_csv(file, ("patientId", "class"))
        require_values(table["class"], DETAILS, file, "class")
        named, first, image_of = np.unique(table["patientId"], return_index=True, return_inverse=True)
        self._check_agreement(table["class"], first, image_of, named, file, "class")
        detail_of = dict(zip(named.tolist(), table["class"][first].tolist(), strict=True))
        detail = np.array([detail_of.get(name, "") for name in image.tolist()])
        wrong = np.flatnonzero((detail != "") & ((detail == OPACITY) != target))
        if len(wrong):
            name = image[wrong[0]]
            row = int(np.flatnonzero(table["patientId"] == name)[0]) + 2
            raise ValueError(
                f"{file}, row {row}: {str(detail[wrong[0]])!r} contradicts Target {int(target[wrong[0]])} of {name}"
            )
        return np.where(detail == "", np.nan, detail == NORMAL)

    def _read_headers(self, records: Records, image: np.ndarray) -> None:
        file = self.root / self.header_file
        table = read_csv(file, ("PatientID",))
        row_of = {name: row for row, name in enumerate(table["PatientID"].tolist())}
        if len(row_of) < len(table["PatientID"]):
            raise ValueError(f"{file}: a PatientID is listed in several rows: keep one of them")
        rows = np.array([row_of.get(name, -1) for name in image.tolist()])

        def column(name: str) -> np.ndarray:
            return np.where(rows < 0, "", table.get(name, np.full(len(row_of), ""))[rows])

        records.age, records.sex = parse_ages(column("PatientAge"), file), parse_sexes(column("PatientSex"), file)
        records.view = column("ViewPosition")
