"""Reading annotation tables; every error names the file, and the row or column."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def _folded(name: str) -> str:
    return "".join(name.casefold().split()).replace("_", "").replace("-", "")


# characters of a field in an array, whose fields all take as much memory as the longest; no path or id is longer
LONGEST = 1024


class Table(dict[str, np.ndarray]):
    """Columns of a csv by name, as strings; `lines` are those of the file where rows begin, from 1, (n,).

    A column becomes an array when it is first read; a field of more than 1,024 characters in it is an error.
    """

    def __init__(self, columns: dict[str, Sequence[str]], file: Path, lines: np.ndarray) -> None:
        super().__init__(columns)
        self.file, self.lines = file, lines

    def __getitem__(self, column: str) -> np.ndarray:
        fields = self.texts(column)
        if isinstance(fields, np.ndarray):
            return fields
        for row, field in enumerate(fields):
            if len(field) > LONGEST:
                raise self.error(row, f"{len(field)} characters in column {column!r}: is a quote missing?")
        self[column] = np.array(fields)
        return self[column]

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

    def value_of(self, key: str, column: str) -> tuple[np.ndarray, np.ndarray]:
        """The distinct values of `key`, sorted, and the field of `column`; it is an error if their rows disagree."""
        names, first, name_of = np.unique(self[key], return_index=True, return_inverse=True)
        wrong = np.flatnonzero(self[column] != self[column][first][name_of])
        if len(wrong):
            name, line = names[name_of[wrong[0]]], self.lines[first[name_of[wrong[0]]]]
            raise self.error(wrong[0], f"{column!r} of {name} contradicts row {line}")
        return names, self[column][first]


def _text(file: Path, what: str) -> str:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such {what}: put it there, or name another below data_root")
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: save the {what} as UTF-8 ({error})") from None


def _check_header(file: Path, header: list[str], required: Sequence[str]) -> None:
    separator = next((sign for sign in ";\t" if len(header) == 1 and sign in header[0]), None)
    if separator is not None:
        raise ValueError(f"{file}: columns are separated by {separator!r}: save it with commas")
    missing = [name for name in required if name not in header]
    if missing:
        raise ValueError(f"{file}: no column {missing[0]!r}; the columns are {header}")
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise ValueError(f"{file}: column {twice[0]!r} appears twice")


def read_csv(file: Path, required: Sequence[str] = (), only: Sequence[str] | None = None) -> Table:
    """Reads a csv into columns of strings.

    Args:
        file: With a header line, in UTF-8.
        required: Columns that must be there.
        only: Columns to read if they are there, besides the required ones; None for all.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing or appears twice, a row is shorter or longer than the header, there are no
            rows, or the file is not a csv in UTF-8.
    """
    reader = csv.reader(io.StringIO(_text(file, "table"), newline=""), strict=True)
    rows, lines = [], []
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(file, header, required)
        wanted = {name: i for i, name in enumerate(header) if name and (only is None or name in {*required, *only})}
        line, width = reader.line_num + 1, len(header)
        for row in reader:
            # a field too many is a comma without quotes: everything after it is in the wrong column
            if row and (len(row) < width or any(row[width:])):
                raise ValueError(f"{file}, row {line}: {len(row)} fields, but the header has {width}: {str(row)[:200]}")
            if row:
                rows.append([row[i].strip() for i in wanted.values()])
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{file}, row {reader.line_num}: {error}") from None
    if not rows:
        raise ValueError(f"{file}: the table has no rows")
    return Table(dict(zip(wanted, zip(*rows, strict=True), strict=True)), file, np.array(lines))


def read_list(file: Path) -> np.ndarray:
    """Reads one name per line; empty lines and lines that begin with # are skipped."""
    lines = [line.strip() for line in _text(file, "list").splitlines()]
    for row, line in enumerate(lines, 1):
        if len(line) > LONGEST:
            raise ValueError(f"{file}, row {row}: {len(line)} characters; one name per line is expected")
    return np.array([line for line in lines if line and not line.startswith("#")], dtype=str)
