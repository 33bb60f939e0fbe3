"""Radiographs whose labels are planted: each class is a texture at a place of its own.

Marks of different classes are independent (columns of a Hadamard matrix), so that a classifier of one class scores an
AUROC of 1 in its own column and of one half in any other: no two classes, images or patients can change places unseen.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np
from scipy.linalg import hadamard

from otcxr_mm.datasets.splits import hash_share

SIDE = 128
CELL = 28
# where a network of stride 32 looks, at 96 to 128 pixels; nine inner cells, then the edges
STARTS = (0, 29, 71, 100)
CELLS = [(r, c) for r in range(3) for c in range(3)] + [(r, 3) for r in range(3)] + [(3, c) for c in range(3)]
COUNTS = {"train": 32, "val": 16, "test": 16}
SMALL = {"train": 16, "val": 8, "test": 8}
SHARES = (("train", 0.7), ("val", 0.1), ("test", 0.2))
PER_PATIENT = 2


@dataclass(frozen=True)
class Case:
    """An image to write: its split, its patient, the label of each class, and its pixels."""

    split: str
    patient: str
    labels: dict[str, float]
    pixels: np.ndarray

    @property
    def positive(self) -> list[str]:
        """The classes that it shows, in alphabetical order."""
        return sorted(name for name, label in self.labels.items() if label)


@dataclass
class Planted:
    """A data set on disk.

    Attributes:
        root: Its folder.
        labels: What was planted, by the stem of the image's file and by class: 1 or 0, or the pixels of a mask.
        patients: Patient of each image, by the stem of its file; '' where the table names none.
        test: Images of the test split, by the stems of their files.
    """

    root: Path
    labels: dict[str, dict[str, float]] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)
    test: set[str] = field(default_factory=set)

    def add(self, image: str, split: str, labels: Mapping[str, float], patient: str = "") -> None:
        """Notes an image that has been written."""
        self.labels[image], self.patients[image] = dict(labels), patient
        self.test |= {image} if split == "test" else set()


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


def cases(
    images: Iterator[np.ndarray],
    classes: Sequence[str],
    counts: Mapping[str, int] = COUNTS,
    patients: Mapping[str, Iterator[str]] | None = None,
) -> Iterator[Case]:
    """Images of all splits; in each every class is balanced, and no two classes are correlated.

    Args:
        images: Backgrounds.
        classes: In the order of their marks, which says nothing about the order in a table or config.
        counts: Images of each split, powers of 2 above the number of classes.
        patients: Ids of the patients of each split; None: the split and a number.
    """
    for split, n in counts.items():
        ids = patients[split] if patients else map(f"{split} {{}}".format, count())
        of = [patient for patient in islice(ids, n // PER_PATIENT) for _ in range(PER_PATIENT)]
        for patient, row in zip(of, hadamard(n)[:, 1 : len(classes) + 1] < 0, strict=True):
            pixels = plant(next(images), np.flatnonzero(row).tolist())
            yield Case(split, patient, dict(zip(classes, row.astype(float).tolist(), strict=True)), pixels)


def names(form: str, shares: Sequence[tuple[str, float]] = SHARES, key: str = "{}") -> dict[str, Iterator[str]]:
    """Numbered names, by the split into which split_by_hash puts them.

    What is hashed is `key`: of a patient the name, of an image without one 'image' and its name.
    """
    found = np.array([form.format(i) for i in range(1, 1000)])
    hashes = hash_share([key.format(name) for name in found], "split")
    place = np.searchsorted(np.cumsum([share for _, share in shares])[:-1], hashes, side="right")
    return {split: iter(found[place == k].tolist()) for k, (split, _) in enumerate(shares)}


def disc(row: float, column: float, radius: float) -> np.ndarray:
    """A disc, (SIDE, SIDE) bool."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return (y - row) ** 2 + (x - column) ** 2 < radius**2


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
