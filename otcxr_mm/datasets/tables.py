"""Reading annotation tables; every error names the file, and the row or column."""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from .table import Table


class _Numbers(dict[str, float]):
    """Codes of a column of numbers; a blank is NaN."""

    def __missing__(self, text: str) -> float:
        try:
            return float(text) if text else np.nan
        except ValueError:
            raise KeyError(text) from None


NUMBERS = _Numbers()


@contextmanager
def _opened(file: Path, what: str) -> Iterator[TextIO]:
    """Opens a text file, also a gzipped one, to be read line by line; errors while it is read name the file."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such {what}: put it there, or name another below data_root")
    packed = file.suffix.lower() == ".gz"
    try:
        with (gzip.open if packed else open)(file, "rt", encoding="utf-8-sig", newline="") as stream:
            yield stream
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: save the {what} as UTF-8 ({error})") from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{file}: damaged, or not gzipped ({error}): download it again") from None


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


class _Columns:
    """Columns of a csv while it is read: fields become arrays chunk by chunk, which saves most of the memory.

    Args:
        wanted: Places of the columns in a row, by name.
        coded: See :func:`read_csv`.
        file: The table, named in errors.
    """

    CHUNK = 8192  # rows

    def __init__(self, wanted: dict[str, int], coded: Mapping[str, Mapping[str, float]], file: Path) -> None:
        self.wanted, self.coded, self.file = wanted, coded, file
        self.parts: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
        self.rows: list[list[str]] = []
        self.lines: list[int] = []

    def add(self, row: list[str], line: int) -> None:
        """Adds a row, which begins in a line of the file."""
        self.rows.append(row)
        self.lines.append(line)
        if len(self.rows) == self.CHUNK:
            self.flush()

    def flush(self) -> None:
        """Turns the rows added since the last time into arrays."""
        columns = list(zip(*self.rows, strict=False))
        for name, place in self.wanted.items():
            fields = list(map(str.strip, columns[place]))
            self.parts[name].append(self._numbers(name, fields) if name in self.coded else np.array(fields))
        self.rows = []

    def _numbers(self, name: str, fields: list[str]) -> np.ndarray:
        codes = self.coded[name]
        try:
            return np.array([codes[text] for text in fields], np.float64)
        except KeyError as error:
            line = self.lines[len(self.lines) - len(fields) + fields.index(error.args[0])]
            raise ValueError(
                f"{self.file}, row {line}: {error.args[0]!r} in column {name!r}; expected "
                + (f"one of {list(codes)}" if codes else "a number")
            ) from None

    def table(self) -> Table:
        """All that was added."""
        if self.rows:
            self.flush()
        if not self.lines:
            raise ValueError(f"{self.file}: the table has no rows")
        return Table(
            {name: np.concatenate(self.parts.pop(name)) for name in self.wanted}, self.file, np.array(self.lines)
        )


def read_csv(
    file: Path,
    required: Sequence[str] = (),
    only: Sequence[str] | None = None,
    coded: Mapping[str, Mapping[str, float]] | None = None,
) -> Table:
    """Reads a csv into columns of strings.

    Args:
        file: With a header line, in UTF-8; gzipped if its name ends in .gz.
        required: Columns that must be there.
        only: Columns to read if they are there, besides the required ones; None for all.
        coded: Columns to read as float64, if they are there, with the number that each field stands for; `NUMBERS` for
            fields that are numbers. A defaultdict may number the fields as they come.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing or appears twice, a row is shorter or longer than the header, a field is not
            one of its column's codes, there are no rows, or the file is not a csv in UTF-8.
    """
    coded = coded or {}
    with _opened(file, "table") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            _check_header(file, header, required)
            keep = None if only is None else {*required, *only, *coded}
            wanted = {name: i for i, name in enumerate(header) if name and (keep is None or name in keep)}
            columns = _Columns(wanted, coded, file)
            line, width = reader.line_num + 1, len(header)
            for row in reader:
                # a field too many is a comma without quotes: everything after it is in the wrong column
                if len(row) != width and row and (len(row) < width or any(row[width:])):
                    raise ValueError(
                        f"{file}, row {line}: {len(row)} fields, but the header has {width}: {str(row)[:200]}"
                    )
                if row:
                    columns.add(row, line)
                line = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{file}, row {reader.line_num}: {error}") from None
    return columns.table()


def read_list(file: Path) -> np.ndarray:
    """Reads one name per line; empty lines and lines that begin with # are skipped."""
    with _opened(file, "list") as stream:
        lines = [line.strip() for line in stream.read().splitlines()]
    return np.array([line for line in lines if line and not line.startswith("#")], dtype=str)
