"""Reading annotation tables; every error names the file, and the row or column."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

import numpy as np

from .columns import Columns
from .table import Table

CHUNK = 1024  # rows


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
        reader, first = csv.reader(stream, strict=True), 1
        try:
            header = [name.strip() for name in next(reader, [])]
            _check_header(file, header, required)
            keep = None if only is None else {*required, *only, *coded}
            wanted = [name for name in header if name and (keep is None or name in keep)]
            columns = Columns(header, wanted, coded, file)
            first += reader.line_num
            while lines := list(islice(stream, CHUNK)):
                if columns.add_lines(lines, first):
                    first += len(lines)
                    continue
                # a field in quotes may go on in the lines after these
                reader, rows = csv.reader(chain(lines, stream), strict=True), []
                while reader.line_num < len(lines):
                    rows.append(next(reader))
                columns.add_rows(rows, first, first + reader.line_num - 1)
                first += reader.line_num
        except csv.Error as error:
            raise ValueError(f"{file}, row {first + reader.line_num - 1}: {error}") from None
    return columns.table()


def read_list(file: Path) -> np.ndarray:
    """Reads one name per line; empty lines and lines that begin with # are skipped."""
    with _opened(file, "list") as stream:
        lines = [line.strip() for line in stream.read().splitlines()]
    return np.array([line for line in lines if line and not line.startswith("#")], dtype=str)
