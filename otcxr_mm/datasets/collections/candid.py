"""CANDID-PTX (Feng et al., Radiology: Artificial Intelligence 2021) as the University of Auckland ships it."""

import logging

import numpy as np
from mmengine.logging import print_log

from ...registry import DATASETS
from ..records import Records
from ..tables import Table, read_csv
from .siim import SIIMPneumothorax


@DATASETS.register_module()
class CandidPTX(SIIMPneumothorax):
    """19,237 radiographs in New Zealand, some with the outline of a pneumothorax.

    The folder as downloaded: `Pneumothorax_reports.csv` (SOPInstanceUID, StudyInstanceUID, EncodedPixels, filename) and
    `dataset/`, DICOM files named by SOPInstanceUID alone, or converted ones. The outlines have SIIM's form. The
    beginning of `filename` numbers the patient. Reports, chest tubes and rib fractures are not read. Rows without
    EncodedPixels, and images listed for two patients, are left out. No splits are published.

    Arguments and errors: see :class:`SIIMPneumothorax`.
    """

    TABLE, FOLDER, SUFFIX, IMAGE = "Pneumothorax_reports.csv", "dataset", "", "SOPInstanceUID"
    collection = "CANDID-PTX"
    STUDY = "StudyInstanceUID"

    def load_records(self) -> Records:
        """Reads the table, and checks every outline."""
        table = read_csv(self.root / self.ann_file, (self.IMAGE, "EncodedPixels", "filename"), only=(self.STUDY,))
        outlined = np.array([text != "" for text in table.texts("EncodedPixels")])
        self._leave_out(table, outlined, "have no EncodedPixels")
        patient, studies = np.char.partition(table["filename"], "_")[:, 0], table.get(self.STUDY)
        names, first, image_of = np.unique(table[self.IMAGE], return_index=True, return_inverse=True)
        disputed = np.unique(image_of[patient != patient[first][image_of]])
        agreed = ~np.isin(image_of, disputed)
        self._leave_out(table, agreed, "name an image of two patients")
        records = self.read_outlines(table)
        # both sorted by image
        row_of = first[np.isin(names, table[self.IMAGE])]
        records.patient = patient[row_of]
        if studies is not None:
            records.study = studies[row_of]
        return records

    def _leave_out(self, table: Table, kept: np.ndarray, why: str) -> None:
        if not kept.any():
            raise ValueError(f"{table.file}: all {len(kept)} rows {why}")
        if not kept.all():
            text = f"{table.file}: {int((~kept).sum())} of {len(kept)} rows {why} and were left out"
            print_log(text, "current", logging.WARNING)
            table.keep(kept)
