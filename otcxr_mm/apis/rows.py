"""Numbers of many images, kept on disk while they are computed, so that a killed command resumes."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..datasets.packed import RECORD as PACKED
from ..datasets.packed import stamp
from ..utils.files import write_whole
from .images import Image
from .inferencer import CXRInferencer, Unread

VALUES, DONE, RECORD = "values.npy", "done.npy", "record.json"
SECONDS = 5  # between two writes to the disk


class Rows:
    """One row of numbers per image, in a folder that a later process with the same inputs goes on with.

    Attributes:
        values: (n, D), or None before the first row.
        done: Which rows are there, (n,) bool.

    Args:
        folder: Folder to keep them in.
        key: What the rows depend on; rows of another key are dropped.
        n: Number of images.
    """

    def __init__(self, folder: Path, key: str, n: int) -> None:
        self.folder, self.n = folder, n
        self.values: np.ndarray | None = None
        self.done = np.zeros(n, bool)
        self._written = time.monotonic()
        try:
            if json.loads((folder / RECORD).read_text())["key"] == key:
                self.done = np.load(folder / DONE)
                self.values = np.lib.format.open_memmap(folder / VALUES, "r+")
                return
        except (OSError, ValueError, KeyError, TypeError):  # nothing there, or not complete
            self.done = np.zeros(n, bool)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_whole(folder / RECORD, json.dumps({"key": key}).encode())

    def put(self, index: int, row: np.ndarray) -> None:
        """Keeps the row of an image."""
        if self.values is None:
            shape = (self.n, len(row))
            self.values = np.lib.format.open_memmap(self.folder / VALUES, "w+", row.dtype, shape)
        self.values[index] = row
        self.done[index] = True
        if time.monotonic() - self._written > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes to the disk: first the rows, then which of them are there."""
        if self.values is not None:
            self.values.flush()
            with open(self.folder / f"{DONE}.tmp", "wb") as stream:
                np.save(stream, self.done)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(self.folder / f"{DONE}.tmp", self.folder / DONE)
        self._written = time.monotonic()

    def remove(self) -> None:
        """Removes the folder."""
        self.values = None
        shutil.rmtree(self.folder)


def compute(
    inferencer: CXRInferencer,
    images: Sequence[Image],
    rows: Rows,
    batch_size: int,
    workers: int,
    overlays: Path | None = None,
) -> Iterator[dict[int, str | None]]:
    """Computes the rows that are missing.

    Args:
        inferencer: What computes them.
        images: All of them.
        rows: Takes the results.
        batch_size: Images per batch.
        workers: Processes that read.
        overlays: Folder for a picture of each image.

    Yields:
        After each batch, what is wrong with its images that cannot be read, by their place in `images`; and None for
        those that can.
    """
    left = np.flatnonzero(~rows.done).tolist()
    try:
        for batch in inferencer.preprocess([images[i] for i in left], batch_size, workers):
            reasons = {}
            for entry, result in zip(batch, inferencer.forward(batch), strict=True):
                place = left[entry.index]
                reasons[place] = result.reason if isinstance(result, Unread) else None
                if reasons[place] is None:
                    if overlays is not None:
                        inferencer.draw(images[place], result, place, overlays)
                    rows.put(place, inferencer.row(result))
            yield reasons
    finally:
        rows.flush()


def key_of(weights: str, images: Sequence[Image], settings: object) -> str:
    """A digest of what rows depend on: the weights' SHA-256, the images' files and order, and settings."""
    digest = hashlib.sha256(f"{weights}\n{settings!r}\n".encode())
    for image in images:
        place = image.packed.folder / PACKED if image.packed is not None else image.name
        digest.update(f"{image.name}\t{stamp(place)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
