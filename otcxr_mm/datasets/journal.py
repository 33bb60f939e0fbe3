"""A file of pixels that grows image by image, and a journal of it: what a killed run goes on from."""

import hashlib
import json
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

LINE = re.compile(rb"\d+ \d+ \d+ -?\d+ -?\d+")


def stamp(path: str | os.PathLike) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds of a file; (-1, -1) if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


class GrowingPixels:
    """Appends images to a file of pixels; what is whole of an earlier, interrupted run is kept.

    The journal's first line tells what is being packed, each further one an image: height, width, CRC-32 of its pixels,
    and the stamp of its source.

    Args:
        pixels: The file of pixels.
        journal: The journal.
        header: What is being packed.
        sources: Files of the images, in order. Images are kept up to the first whose file has changed since.
        dtype: Of the pixels.

    Attributes:
        shapes: (height, width) of each image so far.
        stamps: :func:`stamp` of the source of each.
        digest: SHA-256 of the pixels so far.

    Raises:
        ValueError: If the journal tells of something else than `header`.
    """

    def __init__(self, pixels: Path, journal: Path, header: dict, sources: Sequence[str], dtype: np.dtype) -> None:
        self.shapes: list[tuple[int, int]] = []
        self.stamps: list[tuple[int, int]] = []
        self.digest = hashlib.sha256()
        head = json.dumps(header, sort_keys=True).encode()
        # the last line may be torn
        lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
        if lines[:1] != [head] and len(lines) <= 1:
            lines = []  # not one image was done
        if lines and lines[0] != head:
            raise ValueError(
                f"{journal} tells of other images, another size, depth or version, whose packing was interrupted: "
                "name another folder, or remove it"
            )
        kept = self._replay(pixels, lines[1:], sources, dtype) if lines and pixels.exists() else 0
        self._pixels = open(pixels, "ab")  # noqa: SIM115
        self._journal = open(journal, "ab")  # noqa: SIM115
        self._pixels.truncate(kept)
        self._journal.truncate(sum(len(line) + 1 for line in lines[: 1 + len(self.shapes)]) if lines else 0)
        if not lines:
            self._journal.write(head + b"\n")

    def _replay(self, pixels: Path, lines: list[bytes], sources: Sequence[str], dtype: np.dtype) -> int:
        """Takes over what is whole; returns its bytes."""
        kept = 0
        with open(pixels, "rb") as stream:
            for line, source in zip(lines, sources, strict=False):
                # after a loss of power a file may hold zeros, or less than was written
                if not LINE.fullmatch(line):
                    break
                height, width, crc, size, changed = map(int, line.split())
                image = stream.read(height * width * dtype.itemsize)
                if len(image) < height * width * dtype.itemsize or zlib.crc32(image) != crc:
                    break
                if stamp(source) != (size, changed):
                    break
                kept += len(image)
                self._count((height, width), (size, changed), image)
        return kept

    def _count(self, shape: tuple[int, int], source: tuple[int, int], image: bytes | np.ndarray) -> None:
        self.shapes.append(shape)
        self.stamps.append(source)
        self.digest.update(image)

    def append(self, image: np.ndarray, source: tuple[int, int]) -> None:
        """Writes an image (H, W) whose source has this stamp, and then its line."""
        self._pixels.write(image)
        self._pixels.flush()
        self._journal.write(b"%d %d %d %d %d\n" % (*image.shape, zlib.crc32(image), *source))
        self._journal.flush()
        self._count(image.shape, source, image)

    def close(self) -> None:
        """Brings the pixels to the disk."""
        self._pixels.flush()
        os.fsync(self._pixels.fileno())
        self._pixels.close()
        self._journal.close()
