"""Reading annotation tables; every error names the file, and the row or column."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import TextIO

import numpy as np

from .table import LONGEST, Table

CHUNK = 1024  # rows
LINE_END = re.compile(r"\r\n|\r|\n")


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
        with (gzip.open if packed else open)(file, "rb") as raw:
            # the reader of gzip is slow line by line
            yield io.TextIOWrapper(io.BufferedReader(raw, 1 << 18), encoding="utf-8-sig", newline="")
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
    """Columns of a csv while it is read: rows become arrays chunk by chunk, which saves time and most of the memory.

    Args:
        header: Names of the fields of a row.
        wanted: Names of the columns to keep.
        coded: See :func:`read_csv`.
        file: The table, named in errors.
    """

    def __init__(
        self, header: list[str], wanted: Sequence[str], coded: Mapping[str, Mapping[str, float]], file: Path
    ) -> None:
        self.width, self.coded, self.file = len(header), coded, file
        self.place = {name: header.index(name) for name in wanted}
        self.parts: dict[str, list[np.ndarray | list[str]]] = {name: [] for name in wanted}
        self.lines: list[np.ndarray] = []

    def add(self, rows: list[list[str]], first: int, last: int) -> None:
        """Adds rows, which are the lines from `first` to `last` of the file."""
        lines = np.arange(first, last + 1)
        if len(lines) > len(rows):  # a field in quotes may hold several lines
            counts = [1 + sum(len(LINE_END.findall(field)) for field in row) for row in rows]
            lines = first + np.cumsum([0, *counts[:-1]])
        if set(map(len, rows)) != {self.width}:
            for row, line in zip(rows, lines.tolist(), strict=True):
                self._check(row, line)
            lines = lines[[bool(row) for row in rows]]
            rows = [row for row in rows if row]
        for name, place in self.place.items() if rows else ():
            fields = map(itemgetter(place), rows)
            column = self._numbers(name, list(fields), lines) if name in self.coded else list(map(str.strip, fields))
            # one long field would make all of an array as wide
            is_long = name not in self.coded and max(map(len, column)) > LONGEST
            self.parts[name].append(column if is_long else np.array(column))
        self.lines.append(lines)

    def _check(self, row: list[str], line: int) -> None:
        # a field too many is a comma without quotes: everything after it is in the wrong column
        if row and (len(row) < self.width or any(row[self.width :])):
            raise ValueError(
                f"{self.file}, row {line}: {len(row)} fields, but the header has {self.width}: {str(row)[:200]}"
            )

    def _numbers(self, name: str, fields: list[str], lines: np.ndarray) -> np.ndarray:
        codes = self.coded[name]
        try:
            if codes is NUMBERS:
                return np.fromiter((float(text or "nan") for text in fields), np.float64, len(fields))
            return np.fromiter(map(codes.__getitem__, fields), np.float64, len(fields))
        except (KeyError, ValueError):
            fields = list(map(str.strip, fields))
        try:
            return np.array([codes[text] for text in fields], np.float64)
        except KeyError as error:
            row = fields.index(error.args[0])
            raise ValueError(
                f"{self.file}, row {lines[row]}: {error.args[0]!r} in column {name!r}; expected "
                + (f"one of {list(codes)}" if codes else "a number")
            ) from None

    def table(self) -> Table:
        """All that was added."""
        lines = np.concatenate(self.lines) if self.lines else ()
        if not len(lines):
            raise ValueError(f"{self.file}: the table has no rows")
        return Table({name: self._joined(self.parts.pop(name)) for name in self.place}, self.file, lines)

    @staticmethod
    def _joined(parts: list[np.ndarray | list[str]]) -> np.ndarray | list[str]:
        if all(isinstance(part, np.ndarray) for part in parts):
            return np.concatenate(parts)
        return [text for part in parts for text in (part.tolist() if isinstance(part, np.ndarray) else part)]


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
            wanted = [name for name in header if name and (keep is None or name in keep)]
            columns = _Columns(header, wanted, coded, file)
            first = reader.line_num + 1
            while rows := list(islice(reader, CHUNK)):
                columns.add(rows, first, reader.line_num)
                first = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{file}, row {reader.line_num}: {error}") from None
    return columns.table()


def read_list(file: Path) -> np.ndarray:
    """Reads one name per line; empty lines and lines that begin with # are skipped."""
    with _opened(file, "list") as stream:
        lines = [line.strip() for line in stream.read().splitlines()]
    return np.array([line for line in lines if line and not line.startswith("#")], dtype=str)
