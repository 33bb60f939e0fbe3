"""RSNA Pneumonia Detection Challenge 2018 (Shih et al., Radiology: AI 2019), read as Kaggle ships it."""

import numpy as np
from mmengine.logging import print_log

from ...registry import DATASETS
from ..dicom_headers import read_headers
from ..records import Records
from ..tables import read_csv
from .images_by_id import ImagesById

DETAIL_TABLE = "stage_2_detailed_class_info.csv"
DETAILS = ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")


@DATASETS.register_module()
class RSNAPneumonia(ImagesById):
    """26,684 radiographs with boxes of lung opacities suspicious for pneumonia.

    The folder as downloaded: `stage_2_train_labels.csv` (patientId, box, Target; one row per box),
    `stage_2_detailed_class_info.csv` if it is there, and `stage_2_train_images/`, with `.dcm` or converted images named
    by patientId. Classes: 'Pneumonia' (Target, an opacity suspicious for it) and 'Normal', which only the detailed
    table knows: without it NaN. With `views`, `ages` or `sexes`, the DICOM headers are read.

    The column patientId is an id of the image: no patient is known. The images are from NIH ChestX-ray14, so a network
    pre-trained there has seen them. No splits are published for the images with labels.

    Arguments and errors: see :class:`~otcxr_mm.datasets.collections.images_by_id.ImagesById`.
    """

    METAINFO = {"classes": ("Pneumonia", "Normal")}
    TABLE, FOLDER = "stage_2_train_labels.csv", "stage_2_train_images"
    collection = "RSNA pneumonia"

    def load_records(self) -> Records:
        """Reads the tables."""
        table = read_csv(self.root / self.ann_file, ("patientId", "Target"), only=())
        table.require_inside("patientId")
        table.require_values("Target", ("0", "1"))
        image, target = table.value_of("patientId", "Target")
        labels = np.stack([target == "1", self._normal(image)], 1).astype(np.float32)
        records = Records(self.image_paths(image), labels=labels)
        if self.views or self.ages or self.sexes:
            read_headers(records, self.root, self._source(), patients=False)
        return records

    def _normal(self, image: np.ndarray) -> np.ndarray:
        """Label 'Normal' of each image, NaN for images that the detailed table does not name."""
        file = self.root / DETAIL_TABLE
        if not file.is_file():
            print_log(f"{file}: missing, so 'Normal' is unknown (NaN)", "current")
            return np.full(len(image), np.nan)
        table = read_csv(file, ("patientId", "class"))
        table.require_values("class", DETAILS)
        detail_of = dict(zip(*table.value_of("patientId", "class"), strict=True))
        return np.array([detail_of[name] == "Normal" if name in detail_of else np.nan for name in image])
