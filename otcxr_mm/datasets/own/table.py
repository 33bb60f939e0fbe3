"""Radiographs with labels in your own csv."""

from collections.abc import Mapping, Sequence

import numpy as np

from ...registry import DATASETS
from ..records import Records
from ..tables import Table
from .folder import UnlabeledCXR


def canonical(value: object) -> str:
    """The form in which fields are compared: '1', '1.0' and 1 are equal, and so are 'NORMAL' and 'normal'."""
    text = str(value).strip().lower()
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


@DATASETS.register_module()
class CSVLabeledCXR(UnlabeledCXR):
    """A csv with one row per image: its path, its labels and optionally patient, split, view, age and sex.

    Args:
        data_root: Folder that the paths in the csv are relative to.
        ann_file: The csv, relative to `data_root`.
        label_columns: Columns of labels, whose names are the classes; or a mapping from class names to columns.
        category_column: Instead of one column per class, a single column that names the classes of an image, separated
            by '|', such as 'Mass|Nodule'. `label_columns` then lists the names used there, or maps class names to them.
            A class that a row does not name is 0; if the field is empty, all are unknown.
        positive: Fields that mean 1.
        negative: Fields that mean 0.
        unknown: Fields that mean unknown (NaN). Default: empty, NaN and -1, CheXpert's mark of uncertainty.
        **kwargs: See :class:`UnlabeledCXR` and :class:`BaseCXRDataset`.

    Raises:
        ValueError: If a label field is not in any of these lists, or a class appears nowhere in `category_column`.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str,
        label_columns: Sequence[str] | Mapping[str, str],
        category_column: str | None = None,
        positive: Sequence[object] = ("1",),
        negative: Sequence[object] = ("0",),
        unknown: Sequence[object] = ("", "nan", "-1"),
        **kwargs: object,
    ) -> None:
        if isinstance(label_columns, str):
            raise ValueError(f"CSVLabeledCXR: label_columns must be a list of columns, got {label_columns!r}")
        columns = label_columns if isinstance(label_columns, Mapping) else {name: name for name in label_columns}
        self.label_columns, self.category_column = dict(columns), category_column
        self.meaning: dict[str, float] = {}
        for values, label in ((unknown, np.nan), (negative, 0.0), (positive, 1.0)):
            self.meaning.update({canonical(value): label for value in values})
        super().__init__(data_root, ann_file, **kwargs)

    def label_names(self) -> Sequence[str]:
        """The names of the columns of labels."""
        return tuple(self.label_columns)

    def read_table(self, table: Table) -> Records:
        """The records of a csv, with their labels."""
        records = super().read_table(table)
        if self.category_column is not None:
            records.labels = self._from_categories(table)
        else:
            labels = [self._label(table, table.find((), "label", column)) for column in self.label_columns.values()]
            records.labels = np.stack(labels, 1).astype(np.float32)
        return records

    def _label(self, table: Table, column: str) -> np.ndarray:
        unique, row_of = np.unique(table[column], return_inverse=True)
        for i, value in enumerate(unique.tolist()):
            if canonical(value) not in self.meaning:
                raise table.error(
                    int(np.flatnonzero(row_of == i)[0]),
                    f"{value!r} in column {column!r} is none of {list(self.meaning)}; add it to positive, negative or "
                    "unknown",
                )
        return np.array([self.meaning[canonical(value)] for value in unique.tolist()])[row_of]

    def _from_categories(self, table: Table) -> np.ndarray:
        column = table.find((), "category", self.category_column)
        unique, row_of = np.unique(table[column], return_inverse=True)
        named = [{canonical(part) for part in value.split("|")} - {"", "nan"} for value in unique.tolist()]
        known = set().union(*named)
        labels = np.full((len(unique), len(self.label_columns)), np.nan, np.float32)
        for c, category in enumerate(self.label_columns.values()):
            if canonical(category) not in known:
                raise ValueError(
                    f"{table.file}: {category!r} is in no row of column {column!r}, which holds {sorted(known)[:20]}: "
                    "correct label_columns"
                )
            labels[:, c] = [canonical(category) in names if names else np.nan for names in named]
        return labels[row_of]
