"""Columns of a csv while it is read."""

import csv
import re
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np

from .table import LONGEST, Table

LINE_END = re.compile(r"\r\n|\r|\n")


class _Numbers(dict[str, float]):
    """Codes of a column of numbers; a blank is NaN."""

    def __missing__(self, text: str) -> float:
        try:
            return float(text) if text else np.nan
        except ValueError:
            raise KeyError(text) from None


NUMBERS = _Numbers()


class Columns:
    """Columns of a csv that is being read: rows become arrays chunk by chunk, which saves time and most of the memory.

    Args:
        header: Names of the fields of a row.
        wanted: Names of the columns to keep.
        coded: See :func:`.tables.read_csv`.
        file: The table, named in errors.
    """

    def __init__(
        self, header: list[str], wanted: Sequence[str], coded: Mapping[str, Mapping[str, float]], file: Path
    ) -> None:
        self.width, self.coded, self.file = len(header), coded, file
        self.place = {name: header.index(name) for name in wanted}
        self.parts: dict[str, list[np.ndarray | list[str]]] = {name: [] for name in wanted}
        self.lines: list[np.ndarray] = []

    def add(self, fields: Mapping[str, Sequence[str]], lines: np.ndarray) -> None:
        """Adds rows: the fields of each wanted column, and the line of the file that each row begins at."""
        for name, texts in fields.items():
            column = self._numbers(name, texts, lines) if name in self.coded else list(map(str.strip, texts))
            # one long field would make all of an array as wide
            is_long = name not in self.coded and max(map(len, column)) > LONGEST
            self.parts[name].append(column if is_long else np.array(column))
        self.lines.append(lines)

    def add_lines(self, lines: list[str], first: int) -> bool:
        """Adds lines, numbered from `first`; False, and nothing is added, if only a csv reader can take them apart.

        Splitting many lines at once takes half of the reader's time. It needs rows without quotes and of equal length.
        """
        text, n = "".join(lines), len(lines)
        if '"' in text or self.width == 1 or max(map(len, lines)) > csv.field_size_limit():
            return False
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        *fields, rest = (text if text[-1] == "\n" else text + "\n").replace("\n", "\n,").split(",")
        last = "".join(fields[self.width - 1 :: self.width])
        # the rows have as many fields as the header if each line ends in the last column
        if rest or len(fields) != n * self.width or last.count("\n") != n:
            return False
        fields[self.width - 1 :: self.width] = last.split("\n")[:-1]
        by_name = {name: fields[place :: self.width] for name, place in self.place.items()}
        self.add(by_name, np.arange(first, first + n))
        return True

    def add_rows(self, rows: list[list[str]], first: int, last: int) -> None:
        """Adds rows of a csv reader, which are the lines from `first` to `last` of the file."""
        lines = np.arange(first, last + 1)
        if len(lines) > len(rows):  # a field in quotes may hold several lines
            counts = [1 + sum(len(LINE_END.findall(field)) for field in row) for row in rows]
            lines = first + np.cumsum([0, *counts[:-1]])
        if set(map(len, rows)) != {self.width}:
            for row, line in zip(rows, lines.tolist(), strict=True):
                self._check(row, line)
            lines = lines[[bool(row) for row in rows]]
            rows = [row for row in rows if row]
        if rows:
            self.add({name: list(map(itemgetter(place), rows)) for name, place in self.place.items()}, lines)

    def _check(self, row: list[str], line: int) -> None:
        # a field too many is a comma without quotes: everything after it is in the wrong column
        if row and (len(row) < self.width or any(row[self.width :])):
            raise ValueError(
                f"{self.file}, row {line}: {len(row)} fields, but the header has {self.width}: {str(row)[:200]}"
            )

    def _numbers(self, name: str, fields: Sequence[str], lines: np.ndarray) -> np.ndarray:
        codes = self.coded[name]
        try:
            number_of = float if codes is NUMBERS else codes.__getitem__
            return np.fromiter(map(number_of, fields), np.float64, len(fields))
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
