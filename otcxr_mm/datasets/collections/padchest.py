"""PadChest (Bustos et al., Medical Image Analysis 2020) as BIMCV ships it."""

import difflib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ...registry import DATASETS
from ..base import BaseCXRDataset
from ..columns import NUMBERS
from ..labels import CLOSE, normal_form
from ..records import OLDEST, Records, parse_sexes, visits_in_order
from ..table import Table
from ..tables import read_csv

# NIH's 14 findings as groups of PadChest's labels: a label and those below it in the trees of radiological findings and
# differential diagnoses of the publication (as text: manual_review/trees_code.txt of its first author's repository,
# github.com/auriml/Rx-thorax-automatic-captioning)
GROUPS: dict[str, tuple[str, ...]] = {
    "Atelectasis": (
        *("atelectasis", "total atelectasis", "lobar atelectasis", "segmental atelectasis", "laminar atelectasis"),
        *("round atelectasis", "atelectasis basal"),
    ),
    "Cardiomegaly": ("cardiomegaly",),
    "Effusion": (
        *("pleural effusion", "loculated pleural effusion", "loculated fissural effusion", "hydropneumothorax"),
        *("empyema", "hemothorax"),
    ),
    "Infiltration": (
        *("infiltrates", "interstitial pattern", "ground glass pattern", "reticular interstitial pattern"),
        *("reticulonodular interstitial pattern", "miliary opacities", "alveolar pattern", "consolidation"),
        "air bronchogram",
    ),
    "Mass": ("mass", "mediastinal mass", "breast mass", "pleural mass", "pulmonary mass", "soft tissue mass"),
    "Nodule": ("nodule", "multiple nodules"),
    "Pneumonia": ("pneumonia", "atypical pneumonia"),
    "Pneumothorax": ("pneumothorax", "hydropneumothorax"),
    "Consolidation": ("consolidation", "air bronchogram"),
    "Edema": ("pulmonary edema",),
    "Emphysema": ("emphysema",),
    "Fibrosis": ("pulmonary fibrosis", "post radiotherapy changes", "asbestosis signs"),
    "Pleural_Thickening": ("pleural thickening", "apical pleural thickening", "calcified pleural thickening"),
    "Hernia": ("hiatal hernia",),
}
# labels that say nothing about findings: the study was left out, poor, or like an earlier one
SILENT = {"", "exclude", "suboptimal study", "unchanged"}
TABLES = "PADCHEST_chest_x_ray_images_labels_160K*.csv*"
LABEL = re.compile(r"'([^']*)'|\"([^\"]*)\"")


@DATASETS.register_module()
class PadChest(BaseCXRDataset):
    """More than 160,000 radiographs of 67,000 patients in Spain, in six projections, with 193 labels from reports.

    The folder as downloaded: `PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv`, also gzipped, and the images, in
    the publisher's numbered folders (`0/`, `1/`, ..., the column ImageDir) or all in one. The labels of 27 % of the
    reports are by physicians, those of the others by a network trained on these.

    Classes are NIH's 14 findings, as groups of PadChest's labels (`GROUPS`), or any of PadChest's own, named in
    `classes`. A finding that a report does not name is negative. Where the only labels are 'unchanged', 'exclude' or
    'suboptimal study', all findings are unknown (NaN). Visits are studies in the order of their dates. No splits are
    published.

    Args:
        data_root: That folder.
        ann_file: The table; '' for the publisher's name.
        img_prefix: Folder of the images or of their numbered folders.
        labelled_by: Value of the column MethodLabel to keep, such as ``'Physician'``; None for all.
        **kwargs: See :class:`BaseCXRDataset`, also for errors.
    """

    collection = "PadChest"

    def __init__(
        self,
        data_root: str,
        ann_file: str = "",
        img_prefix: str = "",
        labelled_by: str | None = None,
        classes: str | Sequence[str] | Mapping[str, str | None] | None = None,
        **kwargs: object,
    ) -> None:
        self.img_prefix, self.labelled_by = img_prefix, labelled_by
        wanted = () if classes is None or isinstance(classes, str) else classes
        wanted = wanted.values() if isinstance(wanted, Mapping) else wanted
        groups = set(map(normal_form, GROUPS))
        self._names = (*GROUPS, *(name for name in wanted if name and normal_form(name) not in groups))
        super().__init__(data_root, ann_file, classes=classes, **kwargs)

    def label_names(self) -> Sequence[str]:
        """The groups, and the labels of PadChest that `classes` names."""
        return self._names

    def load_records(self) -> Records:
        """Reads the table."""
        lists: defaultdict[str, int] = defaultdict()
        lists.default_factory = lists.__len__
        required = ("ImageID", "ImageDir", "StudyID", "PatientID", "Projection", "Labels", "MethodLabel")
        coded = {"Labels": lists, "StudyDate_DICOM": NUMBERS, "PatientBirth": NUMBERS}
        table = read_csv(self._table(), required, only=("PatientSex_DICOM",), coded=coded)
        if self.labelled_by is not None:
            self._keep_labelled(table)
        labels = self._labels(table, list(lists))
        date, birth = table.numbers("StudyDate_DICOM"), table.numbers("PatientBirth")
        age = date // 10_000 - birth
        return Records(
            path=self._paths(table),
            patient=table["PatientID"],
            view=table["Projection"],
            labels=labels,
            age=np.where((age >= 0) & (age <= OLDEST), age, np.nan).astype(np.float32),
            sex=parse_sexes(table["PatientSex_DICOM"], table.file) if "PatientSex_DICOM" in table else None,
            visit=visits_in_order(table["PatientID"], table["StudyID"], date),
            study=table["StudyID"],
        )

    def _table(self) -> Path:
        if self.ann_file:
            return self.root / self.ann_file
        tables = sorted(self.root.glob(TABLES))
        if not tables:
            raise FileNotFoundError(
                f"{self.root}: no {TABLES}, the table of PadChest: put it into this folder, or name it with ann_file"
            )
        return tables[0]

    def _keep_labelled(self, table: Table) -> None:
        chosen = table["MethodLabel"] == self.labelled_by
        if not chosen.any():
            found = np.unique(table["MethodLabel"]).tolist()
            raise ValueError(f"{table.file}: no image with labelled_by={self.labelled_by!r}; there are {found}")
        table.keep(chosen)

    def _paths(self, table: Table) -> np.ndarray:
        table.require_inside("ImageID")
        table.require_inside("ImageDir")
        start = f"{self.img_prefix}/" if self.img_prefix else ""
        folders = {name: f"{start}{name}/" for name in np.unique(table["ImageDir"]).tolist()}
        if not any((self.root / folder).is_dir() for folder in folders.values()):
            # converted images are shared in one folder
            folders = dict.fromkeys(folders, start)
        return np.array(
            [
                folders[folder] + image
                for folder, image in zip(table["ImageDir"].tolist(), table["ImageID"].tolist(), strict=True)
            ]
        )

    def _labels(self, table: Table, lists: Sequence[str]) -> np.ndarray:
        """Labels of the groups and the labels asked for; `lists` are the distinct fields of the column."""
        list_of = table.pop("Labels").astype(np.int64)
        found = [self._parse(table, text, list_of == i) for i, text in enumerate(lists)]
        known = set().union(*found)
        labels = np.zeros((len(lists), len(self._names)), np.float32)
        for c, name in enumerate(self._names):
            members = set(map(normal_form, GROUPS.get(name, (name,))))
            if name not in GROUPS and not members & known:
                self._miss(name, known, table)
                labels[:, c] = np.nan
            else:
                labels[:, c] = [bool(members & one) for one in found]
        labels[[one <= SILENT for one in found]] = np.nan
        return labels[list_of]

    @staticmethod
    def _parse(table: Table, text: str, rows: np.ndarray) -> set[str]:
        """The labels of a list as Python writes it, such as "['pleural effusion', ' nodule']"."""
        if text in ("", "nan"):
            return set()
        if not (text.startswith("[") and text.endswith("]")):
            row = int(np.flatnonzero(rows)[0])
            raise table.error(row, f"{text[:60]!r} in column 'Labels' is not a list such as \"['pleural effusion']\"")
        return {normal_form(one or other) for one, other in LABEL.findall(text)}

    @staticmethod
    def _miss(name: str, known: set[str], table: Table) -> None:
        near = difflib.get_close_matches(normal_form(name), known, 1, CLOSE)
        if near:
            raise ValueError(f"{table.file}: unknown class {name!r}: did you mean {near[0]!r}?")
        print_log(f"{table.file}: no label {name!r}; it is unknown (NaN) here", "current")
