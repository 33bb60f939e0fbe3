"""A table as columns of strings and numbers; every error names the file, and the row or column."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def _folded(name: str) -> str:
    return "".join(name.casefold().split()).replace("_", "").replace("-", "")


# characters of a field in an array, whose fields all take as much memory as the longest; no path or id is longer
LONGEST = 1024


class Table(dict[str, np.ndarray]):
    """Columns of a csv by name, as strings; `lines` are those of the file where rows begin, from 1, (n,).

    A column with a field of more than 1,024 characters is a list, which :meth:`texts` gives; to ask for it otherwise is
    an error that names the row.
    """

    def __init__(self, columns: dict[str, np.ndarray | list[str]], file: Path, lines: np.ndarray) -> None:
        super().__init__(columns)
        self.file, self.lines = file, lines

    def __getitem__(self, column: str) -> np.ndarray:
        fields = self.texts(column)
        if isinstance(fields, np.ndarray):
            return fields
        row = next(row for row, field in enumerate(fields) if len(field) > LONGEST)
        raise self.error(row, f"{len(fields[row])} characters in column {column!r}: is a quote missing?")

    def texts(self, column: str) -> Sequence[str]:
        """The fields of a column of any length, (n,)."""
        return super().__getitem__(column)

    def error(self, row: int, text: str) -> ValueError:
        """An error to raise for a row, counted from 0."""
        return ValueError(f"{self.file}, row {self.lines[row]}: {text}")

    def alike(self, names: Sequence[str]) -> list[str]:
        """Columns with one of these names, in the order of `names`, ignoring case, spaces, '_' and '-'."""
        return [column for name in names for column in self if _folded(column) == _folded(name)]

    def find(self, names: Sequence[str], what: str, given: str | None = None) -> str:
        """Name of the column `given`, spelled exactly so; without one, the first that is alike `names`; or an error."""
        found = ([given] if given in self else []) if given else self.alike(names)
        if not found:
            wanted = [given] if given else list(names)
            raise ValueError(f"{self.file}: no column for the {what}, one of {wanted}; the columns are {list(self)}")
        return found[0]

    def require_values(self, column: str, allowed: Sequence[str]) -> None:
        """Raises a ValueError if a field of the column is not one of the allowed values."""
        wrong = np.flatnonzero(~np.isin(self[column], list(allowed)))
        if len(wrong):
            found = str(self[column][wrong[0]])
            raise self.error(wrong[0], f"{found!r} in column {column!r}; expected one of {list(allowed)}")

    def require_unique(self, column: str) -> None:
        """Raises a ValueError if a field of the column is in several rows."""
        fields = self[column].tolist()
        if len(set(fields)) == len(fields):
            return
        row_of: dict[str, int] = {}
        for row, field in enumerate(fields):
            if row_of.setdefault(field, row) != row:
                line = self.lines[row_of[field]]
                raise self.error(row, f"{column} {field} is also in row {line}: keep one of them")

    def keep(self, rows: np.ndarray) -> None:
        """Drops all rows but these (mask or indices)."""
        kept = np.arange(len(self.lines))[rows]
        self.lines = self.lines[kept]
        for name in self:
            fields = self.texts(name)
            self[name] = fields[kept] if isinstance(fields, np.ndarray) else [fields[row] for row in kept]

    def require_inside(self, column: str, fields: Sequence[str] | None = None) -> None:
        """Raises a ValueError if a field is not the name of a file, or the path of one below a folder.

        Args:
            column: Name of the column.
            fields: What it holds, if it was read as codes.
        """
        for row, text in enumerate(self[column].tolist() if fields is None else fields):
            if not text or text[0] in "/\\" or ".." in text and ".." in text.replace("\\", "/").split("/"):
                raise self.error(row, f"{text!r} in column {column!r} must be a path below the folder of the data set")

    def integers(self, column: str) -> np.ndarray:
        """A column of whole numbers, int64 (n,); anything else is an error."""
        try:
            return np.fromiter(map(int, self[column].tolist()), np.int64, len(self.lines))
        except (ValueError, OverflowError):
            fields = enumerate(self[column].tolist())
            wrong = next((row for row, text in fields if not (text.isascii() and text.isdigit() and len(text) < 19)), 0)
            raise self.error(wrong, f"{str(self[column][wrong])!r} in column {column!r} is not a number") from None

    def numbers(self, column: str) -> np.ndarray:
        """A column read as numbers, float64 (n,), NaN if it is not there."""
        return self.get(column, np.full(len(self.lines), np.nan))

    def value_of(self, key: str, column: str) -> tuple[np.ndarray, np.ndarray]:
        """The distinct values of `key`, sorted, and the field of `column`; it is an error if their rows disagree."""
        names, first, name_of = np.unique(self[key], return_index=True, return_inverse=True)
        wrong = np.flatnonzero(self[column] != self[column][first][name_of])
        if len(wrong):
            name, line = names[name_of[wrong[0]]], self.lines[first[name_of[wrong[0]]]]
            raise self.error(wrong[0], f"{column!r} of {name} contradicts row {line}")
        return names, self[column][first]


def rows_of(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Row of each wanted key among the distinct `keys`, (m,); -1 where it is not there."""
    if np.array_equal(keys, wanted):
        return np.arange(len(keys))
    order = np.argsort(keys)
    rows = order[np.searchsorted(keys, wanted, sorter=order).clip(max=len(keys) - 1)]
    return np.where(keys[rows] == wanted, rows, -1)
