"""Data sets whose labels were mined from reports by CheXpert's labeler, or in its form."""

from collections.abc import Mapping

import numpy as np

from ..base import BaseCXRDataset
from ..label_spaces import LABEL_SPACES
from ..table import Table
from ..uncertainty import BLANKS, MARKS, count_marks, labels_of, policy_table, uncertain_labels

CLASSES = LABEL_SPACES["chexpert14"]
CODED = dict.fromkeys(CLASSES, MARKS)  # for read_csv


class ReportLabels(BaseCXRDataset):
    """Base of data sets with CheXpert's 14 labels, of which some are uncertain (-1) or blank (not mentioned).

    Args:
        data_root: Folder of the data set.
        ann_file: See the data set.
        uncertain: What uncertain labels become: a published policy, ``'U-Ones'``, ``'U-Zeros'`` (1 and 0),
            ``'U-Ignore'`` (unknown, NaN), or ``'U-Mixed'`` (1 for Atelectasis, Edema and Pleural Effusion, 0 for
            Cardiomegaly and Consolidation, else unknown); or a rule per finding, ``dict(default='ignore', Edema='one',
            Cardiomegaly='zero')``.
        blank: What labels become of findings that the report does not mention: ``'negative'``, as Irvin et al. (2019)
            count them, or ``'unknown'``.
        **kwargs: See :class:`otcxr_mm.BaseCXRDataset`, also for errors.
    """

    METAINFO = {"classes": CLASSES}

    def __init__(
        self,
        data_root: str,
        ann_file: str = "",
        uncertain: str | Mapping[str, str] = "U-Ignore",
        blank: str = "negative",
        **kwargs: object,
    ) -> None:
        name = type(self).__name__
        if blank not in BLANKS:
            raise ValueError(f"{name}: blank must be one of {list(BLANKS)}, got {blank!r}")
        self.uncertain, self.blank = uncertain_labels(uncertain, CLASSES, name), blank
        self.counts = np.zeros((len(CLASSES), 4), np.int64)
        super().__init__(data_root, ann_file, **kwargs)

    def take_labels(self, table: Table, rows: np.ndarray | None = None) -> np.ndarray:
        """Labels, float32 (n, 14), from the columns of a table, which loses them; NaN for columns it does not have.

        Args:
            table: Its columns of labels were read with `CODED`.
            rows: Row of each image in the table, (n,), -1 for none; None if the table has a row per image.
        """
        labels = np.full((len(table.lines if rows is None else rows), len(CLASSES)), np.nan, np.float32)
        for i, name in enumerate(CLASSES):
            if name in table:
                marks = table.pop(name)
                self.counts[i] += count_marks(marks)
                column = labels_of(marks, self.uncertain[i], BLANKS[self.blank])
                labels[:, i] = column if rows is None else np.where(rows >= 0, column[rows], np.nan)
        return labels

    def label_policies(self) -> str:
        """A Markdown table of the marks of each finding in the tables read, and the labels of each policy."""
        self.full_init()
        return policy_table(self.counts, CLASSES, self.blank)
