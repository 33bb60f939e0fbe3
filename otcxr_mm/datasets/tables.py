"""Reading annotation tables; every error names the file, and the row or column."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np


class Table(dict[str, np.ndarray]):
    """Columns by name, and where each row begins.

    Attributes:
        lines: Line of the file that each row begins in, from 1, (n,); lines may be empty, and fields hold several.
    """

    def __init__(self, columns: dict[str, np.ndarray], lines: np.ndarray) -> None:
        super().__init__(columns)
        self.lines = lines


def _text(file: Path, what: str) -> str:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such {what}: put it there, or name another below data_root")
    raw = file.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{file}, row {row}: byte {raw[error.start]:#x} is not UTF-8: save the {what} as UTF-8"
        ) from None
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{file}, row {row}: holds a zero byte: damaged, compressed, or not UTF-8")
    return text


def read_csv(file: Path, required: Sequence[str] = (), only: Sequence[str] | None = None) -> Table:
    """Reads a csv into columns of strings.

    Args:
        file: With a header line, in UTF-8.
        required: Columns that must be there.
        only: Columns to read if they are there, besides the required ones; None for all.

    Returns:
        Column name to array of strings, all of the same length, with the lines that they stand in.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing or there twice, a row is shorter or longer than the header, there is no row,
            or the file is no csv in UTF-8.
    """
    reader = csv.reader(io.StringIO(_text(file, "table"), newline=""), strict=True)
    rows, lines, before = [], [], 0
    try:
        for row in reader:
            rows.append(row)
            lines.append(before + 1)
            before = reader.line_num
    except csv.Error as error:
        raise ValueError(f"{file}, row {reader.line_num}: {error}") from None
    if not rows:
        raise ValueError(f"{file}: the file is empty")
    header = [name.strip() for name in rows[0]]
    separator = next((sign for sign in ";\t" if len(header) == 1 and sign in header[0]), None)
    if separator is not None:
        raise ValueError(f"{file}: columns are separated by {separator!r}: save it with commas")
    missing = [name for name in required if name not in header]
    if missing:
        raise ValueError(f"{file}: no column {missing[0]!r}; the columns are {header}")
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise ValueError(f"{file}: column {twice[0]!r} is there twice")
    lines = [line for row, line in zip(rows[1:], lines[1:], strict=True) if row]
    body = [row for row in rows[1:] if row]
    if not body:
        raise ValueError(f"{file}: a header, but no row")
    width = len(header)
    for number, row in zip(lines, body, strict=True):
        # one field too many is a comma without quotes: everything after it stands in the wrong column
        if len(row) < width or (len(row) > width and any(row[width:])):
            raise ValueError(f"{file}, row {number}: {len(row)} fields where the header has {width}: {str(row)[:200]}")
    wanted = set(header) if only is None else {*required, *only}
    columns = {name: np.array([row[i].strip() for row in body]) for i, name in enumerate(header) if name in wanted}
    return Table(columns, np.array(lines))


def read_list(file: Path) -> np.ndarray:
    """Reads one name a line.

    Args:
        file: A text file in UTF-8; empty lines and lines that begin with # are left out.

    Returns:
        Array of strings.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it names nothing, or is not UTF-8.
    """
    lines = (line.strip() for line in _text(file, "list").splitlines())
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise ValueError(f"{file}: the list is empty")
    return np.array(names)


def _folded(name: str) -> str:
    return "".join(name.casefold().split()).replace("_", "").replace("-", "")


def alike(table: dict[str, np.ndarray], candidates: Sequence[str]) -> list[str]:
    """Columns of a table that some candidates name, in their order; case, spaces, '_' and '-' do not count."""
    return [name for wanted in candidates for name in table if _folded(name) == _folded(wanted)]


def first_column(
    table: dict[str, np.ndarray], candidates: Sequence[str], file: Path, what: str, given: str | None = None
) -> str:
    """The column `given`, spelled as it is; without one, the first column that `candidates` name, as in :func:`alike`.

    Raises:
        ValueError: If there is none.
    """
    found = [given] if given in table else [] if given else alike(table, candidates)
    if not found:
        wanted = [given] if given else list(candidates)
        raise ValueError(f"{file}: no column for the {what}, one of {wanted}; the columns are {list(table)}")
    return found[0]


def require_values(values: np.ndarray, allowed: Sequence[str], file: Path, column: str) -> None:
    """Fails unless a column holds nothing but the allowed values.

    Raises:
        ValueError: With the first row that holds another one.
    """
    wrong = np.flatnonzero(~np.isin(values, list(allowed)))
    if len(wrong):
        found = str(values[wrong[0]])
        raise ValueError(f"{file}, row {wrong[0] + 2}: {found!r} in column {column!r}; known are {list(allowed)}")


def require_filled(values: np.ndarray, file: Path, column: str) -> None:
    """Fails if a field of a column is empty.

    Raises:
        ValueError: With the first such row.
    """
    empty = np.flatnonzero(values == "")
    if len(empty):
        raise ValueError(f"{file}, row {empty[0] + 2}: nothing in column {column!r}")
