"""Grey images in one memory-mapped file: a sample costs one read and no decoding."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .transforms.resize import resize

PIXELS, INDEX, RECORD = "pixels.bin", "index.npy", "packed.json"
DTYPES = {8: np.dtype(np.uint8), 16: np.dtype("<u2")}
# steps of a pixel in one of the scale 0 to 255
STEPS = {8: 1, 16: 257}


def resize_shorter(img: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Shrinks an image (H, W) so that the shorter side has `size` pixels, or resizes it to `size` = (height, width)."""
    height, width = img.shape[:2]
    if isinstance(size, int):
        factor = min(1.0, size / min(height, width))
        size = (round(height * factor), round(width * factor))
    return resize(img, *size)


def rounded(img: np.ndarray, depth: int) -> np.ndarray:
    """An image (H, W) on the scale 0 to 255, uint8 or float32, in the steps of 8 or 16 bits, contiguous."""
    step = STEPS[depth]
    if img.dtype == np.uint8 and step == 1:
        return np.ascontiguousarray(img)
    return np.ascontiguousarray(np.clip(np.rint(img * np.float32(step)), 0, 255 * step), DTYPES[depth])


def stamp(path: str | os.PathLike) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds of a file; (-1, -1) if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def read_record(folder: Path) -> dict:
    """What packed.json says; {} if no image is packed yet."""
    file = folder / RECORD
    return json.loads(file.read_text()) if file.exists() else {}


class PackedImages:
    """Reads what :func:`otcxr_mm.pack_images` wrote. Each process maps the file at first use; all share its memory.

    Attributes:
        paths: Of the images, (n,), without broken ones.
        depth: Bits per pixel.
        record: What packed.json says, without the paths.

    Raises:
        FileNotFoundError: If it does not hold all images, or the file of pixels has another size than recorded.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder).expanduser()
        self.record = read_record(self.folder)
        if not self.record.get("complete") or os.path.getsize(self.folder / PIXELS) != self.record["bytes"]:
            raise FileNotFoundError(
                f"{self.folder}: packed images are missing, not complete or damaged (then remove them): pack them again"
            )
        self.depth = self.record["depth"]
        index = np.load(self.folder / INDEX)
        self._index = index[index["done"]]
        self.paths = np.array(self.record.pop("paths"))[index["done"]]
        self._pixels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_pixels": None}

    def rows(self, paths: Sequence[str] | np.ndarray) -> np.ndarray:
        """Rows of images, (n,), -1 for those that are not there."""
        row_of = {path: row for row, path in enumerate(self.paths.tolist())}
        return np.array([row_of.get(path, -1) for path in np.asarray(paths).tolist()], np.int64)

    def __getitem__(self, row: int) -> np.ndarray:
        """An image (H, W): uint8 that must not be written to, or float32 on the scale 0 to 255 of 16 bits."""
        if self._pixels is None:
            # a plain view: slices of a memmap are slow to make
            self._pixels = np.asarray(np.memmap(self.folder / PIXELS, np.uint8, "r"))
        (start, stop), shape = self._index["bytes"][row], self._index["shape"][row]
        image = self._pixels[start:stop].view(DTYPES[self.depth]).reshape(shape)
        return image if self.depth == 8 else image * np.float32(1 / STEPS[self.depth])

    def changed(self, root: str | os.PathLike) -> list[str]:
        """Sources below `root` that have changed since they were packed: their path, and what has become of them."""
        now = [stamp(os.path.join(root, path)) for path in self.paths.tolist()]
        rows = np.flatnonzero((self._index["source"] != np.array(now).reshape(-1, 2)).any(1)).tolist()
        return [f"{self.paths[row]}: {'gone' if now[row][0] < 0 else 'written to since'}" for row in rows]
