"""Reading annotation tables; every error names the file, and the row or column."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def read_csv(file: Path, required: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Reads a csv into columns of strings.

    Args:
        file: With a header line.
        required: Columns that must be there.

    Returns:
        Column name to array of strings, all of the same length.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, a row is shorter than the header, or there is no row.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such table")
    with file.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.reader(stream))
    if not rows:
        raise ValueError(f"{file}: the file is empty")
    header = [name.strip() for name in rows[0]]
    missing = [name for name in required if name not in header]
    if missing:
        raise ValueError(f"{file}: no column {missing[0]!r}; the columns are {header}")
    body = [row for row in rows[1:] if row]
    if not body:
        raise ValueError(f"{file}: a header, but no row")
    for number, row in enumerate(body, 2):
        if len(row) < len(header):
            raise ValueError(f"{file}, row {number}: {len(row)} fields where the header has {len(header)}: {row}")
    return {name: np.array([row[i].strip() for row in body]) for i, name in enumerate(header)}


def read_list(file: Path) -> np.ndarray:
    """Reads one name a line.

    Args:
        file: A text file; empty lines and lines that begin with # are left out.

    Returns:
        Array of strings.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it names nothing.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such list")
    lines = (line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines())
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise ValueError(f"{file}: the list is empty")
    return np.array(names)


def first_column(table: dict[str, np.ndarray], candidates: Sequence[str], file: Path, what: str) -> str:
    """The first of `candidates` that is a column of `table`.

    Raises:
        ValueError: If none is.
    """
    for name in candidates:
        if name in table:
            return name
    raise ValueError(f"{file}: no column for the {what}, one of {list(candidates)}; the columns are {list(table)}")
