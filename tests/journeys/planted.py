"""Radiographs whose labels are planted: each class is a texture at a place of its own.

Marks of different classes are independent (columns of a Hadamard matrix), so that a classifier of one class scores an
AUROC of 1 in its own column and of one half in any other: no two classes, images or patients can change places unseen.
"""

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from scipy.linalg import hadamard

SIDE = 128
CELL = 28
# where a network of stride 32 looks, at 96 to 128 pixels; nine inner cells, then the edges
STARTS = (0, 29, 71, 100)
CELLS = [(r, c) for r in range(3) for c in range(3)] + [(r, 3) for r in range(3)] + [(3, c) for c in range(3)]
COUNTS = {"train": 32, "val": 16, "test": 16}
PER_PATIENT = 2

# image, by the stem of its file, to class to label; NaN: unknown
Labels = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Case:
    """An image to write: the number of its patient within the split, the classes that it shows, and its pixels."""

    split: str
    patient: int
    positive: frozenset[str]
    pixels: np.ndarray


@dataclass(frozen=True)
class Planted:
    """A data set on disk.

    Attributes:
        root: Its folder.
        labels: Reads the labels from its own table.
        patients: Patient of each image, by the stem of its file; '' where the table names none.
        test: Images of the test split, by the stems of their files.
    """

    root: Path
    labels: Callable[[], Labels]
    patients: Mapping[str, str]
    test: frozenset[str]


@cache
def textures() -> list[np.ndarray]:
    """A texture per class, (SIDE, SIDE) of -1 and 1: bright, then stripes and checks of growing periods."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    found = [np.ones((SIDE, SIDE))]
    for period in (5, 7, 10, 14):
        rows, columns = np.sin(2 * np.pi * y / period), np.sin(2 * np.pi * x / period)
        found += [np.sign(rows), np.sign(columns), np.sign(rows * columns)]
    return [*found, np.sign(np.sin(2 * np.pi * (x + y) / 7))]


def plant(background: np.ndarray, marks: Sequence[int]) -> np.ndarray:
    """A radiograph of low contrast with the marks of some classes, (SIDE, SIDE) uint8."""
    image = 127.5 + 0.3 * (background - 127.5)
    patterns = textures()
    for mark in marks:
        row, column = (slice(STARTS[place], STARTS[place] + CELL) for place in CELLS[mark])
        image[row, column] = 127.5 + 110 * patterns[mark][row, column]
    return np.clip(image, 0, 255).astype(np.uint8)


def backgrounds(folder: Path, skip: int = 0) -> Iterator[np.ndarray]:
    """Genuine radiographs of a folder, each once, (SIDE, SIDE) float."""
    for file in sorted(folder.iterdir())[skip:]:
        image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        yield cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)


def cases(images: Iterator[np.ndarray], classes: Sequence[str], counts: Mapping[str, int] = COUNTS) -> Iterator[Case]:
    """Images of all splits; in each every class is balanced, and no two classes are correlated.

    Args:
        images: Backgrounds.
        classes: In the order of their marks, which says nothing about the order in a table or config.
        counts: Images of each split, powers of 2 above the number of classes.
    """
    for split, n in counts.items():
        design = hadamard(n)[:, 1 : len(classes) + 1] < 0
        for i, row in enumerate(design):
            pixels = plant(next(images), np.flatnonzero(row).tolist())
            yield Case(split, i // PER_PATIENT, frozenset(np.array(classes)[row].tolist()), pixels)


def hash_split(key: str, shares: Sequence[tuple[str, float]]) -> str:
    """The split that split_by_hash gives to a patient, or to 'image STEM' where none is known."""
    place = (int.from_bytes(hashlib.sha256(f"split\n{key}".encode()).digest()[:8], "big") >> 11) / 2**53
    for name, share in shares[:-1]:
        if place < share:
            return name
        place -= share
    return shares[-1][0]


def keys_of(split: str, shares: Sequence[tuple[str, float]], form: str, key: str = "{}") -> Iterator[str]:
    """Names `form` with a growing number that the hash of `key` with the name puts into a split."""
    for i in count(1):
        name = form.format(i)
        if hash_split(key.format(name), shares) == split:
            yield name


def patient_ids(form: str, shares: Sequence[tuple[str, float]] | None = None) -> Callable[[Case], str]:
    """The patient id of each case: counted, or such that its hash puts it where the case belongs."""
    ids: dict[tuple[str, int], str] = {}
    free = {split: keys_of(split, shares, form) for split, _ in shares or ()}
    counter = count(1)

    def of(case: Case) -> str:
        key = case.split, case.patient
        if key not in ids:
            # the official test list is none of the hash's business
            ids[key] = next(free[case.split]) if case.split in free else form.format(90000 + next(counter))
        return ids[key]

    return of


def image_ids(form: str, shares: Sequence[tuple[str, float]]) -> Callable[[Case], str]:
    """Ids of images without patients that fall where the case belongs."""
    free = {split: keys_of(split, shares, form, "image {}") for split, _ in shares}
    return lambda case: next(free[case.split])


def write(path: Path, pixels: np.ndarray) -> None:
    """An image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def write_csv(path: Path, header: str, rows: Sequence[Sequence[object]]) -> None:
    """A table with the header as its publisher spells it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a table, with Python's own reader."""
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream, skipinitialspace=True))
