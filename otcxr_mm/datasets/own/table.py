"""Radiographs with labels in your own csv."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...registry import DATASETS
from ..records import Records
from ..tables import Table, first_column
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
        FileNotFoundError: If the folder, the csv or a listed image is missing.
        ValueError: If a column is missing, a label field is not in any of these lists, a value is in two of them, or a
            class appears nowhere in `category_column`.
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
        if isinstance(label_columns, str) or not label_columns:
            raise ValueError(f"CSVLabeledCXR: label_columns must be a list of columns, got {label_columns!r}")
        if isinstance(label_columns, Mapping):
            self.label_columns = dict(label_columns)
        else:
            self.label_columns = {name: name for name in label_columns}
        self.category_column = category_column
        self.meaning: dict[str, float] = {}
        for values, label in ((positive, 1.0), (negative, 0.0), (unknown, np.nan)):
            if isinstance(values, str):
                raise ValueError(
                    f"CSVLabeledCXR: positive, negative and unknown must be lists of fields, got {values!r}"
                )
            for value in values:
                if canonical(value) in self.meaning:
                    raise ValueError(f"CSVLabeledCXR: {value!r} is in two of positive, negative and unknown")
                self.meaning[canonical(value)] = label
        super().__init__(data_root, ann_file=ann_file, **kwargs)

    def label_names(self) -> Sequence[str]:
        """The names of the columns of labels."""
        return tuple(self.label_columns)

    def load_records(self) -> Records:
        """Reads the csv.

        Raises:
            FileNotFoundError: If the csv is missing.
            ValueError: If a column is missing, or a field is not a label; names the row.
        """
        records, table = self._read()
        file = self.root / self.ann_file
        if table is None:
            raise ValueError(f"{file}: CSVLabeledCXR needs a .csv with columns of labels")
        if self.category_column is not None:
            records.labels = self._from_categories(table, file)
            return records
        records.labels = np.empty((len(records), len(self.label_columns)), np.float32)
        for c, column in enumerate(self.label_columns.values()):
            first_column(table, (), file, "label", column)
            unique, row_of = np.unique(table[column], return_inverse=True)
            for i, value in enumerate(unique.tolist()):
                if canonical(value) not in self.meaning:
                    row = table.lines[row_of == i][0]
                    raise ValueError(
                        f"{file}, row {row}: {value!r} in column {column!r} is none of {list(self.meaning)}; add it to "
                        "positive, negative or unknown"
                    )
            records.labels[:, c] = np.array([self.meaning[canonical(value)] for value in unique.tolist()])[row_of]
        return records

    def _from_categories(self, table: Table, file: Path) -> np.ndarray:
        first_column(table, (), file, "category", self.category_column)
        unique, row_of = np.unique(table[self.category_column], return_inverse=True)
        named = [{canonical(part) for part in value.split("|")} - {"", "nan"} for value in unique.tolist()]
        there = set().union(*named)
        labels = np.full((len(unique), len(self.label_columns)), np.nan, np.float32)
        for c, category in enumerate(self.label_columns.values()):
            if canonical(category) not in there:
                raise ValueError(
                    f"{file}: {category!r} is in no row of column {self.category_column!r}, which holds "
                    f"{sorted(there)[:20]}: correct label_columns"
                )
            labels[:, c] = [canonical(category) in names if names else np.nan for names in named]
        return labels[row_of]
