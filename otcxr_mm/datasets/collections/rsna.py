"""RSNA Pneumonia Detection Challenge 2018 (Shih et al., Radiology: AI 2019), read as Kaggle ships it."""

import json
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ...registry import DATASETS
from ..dicom_headers import read_headers
from ..image_files import stem
from ..patients import normal_ids
from ..records import Records
from ..tables import read_csv
from .images_by_id import ImagesById

DETAIL_TABLE = "stage_2_detailed_class_info.csv"
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
DETAILS = ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")


def read_mapping(file: Path) -> dict[str, str]:
    """NIH's names of images, without extension, by RSNA's ids, from the list that RSNA publishes.

    Raises:
        ValueError: If it is not that list.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        return {str(entry["subset_img_id"]): stem(str(entry["img_id"])) for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file}: not RSNA's list of images with `subset_img_id` and `img_id` ({error!r}): download {MAPPING} again"
        ) from None


@DATASETS.register_module()
class RSNAPneumonia(ImagesById):
    """26,684 radiographs with boxes of lung opacities suspicious for pneumonia.

    The folder as downloaded: `stage_2_train_labels.csv` (patientId, box, Target; one row per box),
    `stage_2_detailed_class_info.csv` if it is there, and `stage_2_train_images/`, with `.dcm` or converted images named
    by patientId. Classes: 'Pneumonia' (Target, an opacity suspicious for it) and 'Normal', which only the detailed
    table knows: without it NaN. With `views`, `ages` or `sexes`, the DICOM headers are read.

    The column patientId is an id of the image. The images are from NIH ChestX-ray14, so a network pre-trained there has
    seen them. RSNA's `pneumonia-challenge-dataset-mappings_2018.json`, if it is there, says which they are: then
    patients are NIH's; otherwise they are unknown. No splits are published for the images with labels.

    Arguments and errors: see :class:`~otcxr_mm.datasets.collections.images_by_id.ImagesById`.

    Attributes:
        original_of: NIH's names of images by RSNA's ids, for the leak audit; {} without that file.
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
        mapping = self.root / MAPPING
        self.original_of = read_mapping(mapping) if mapping.is_file() else {}
        # NIH's names begin with the patient's number
        patient = normal_ids(np.array([self.original_of.get(name, "").split("_")[0] for name in image.tolist()]))
        records = Records(self.image_paths(image), patient, labels=labels)
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
