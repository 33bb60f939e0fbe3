"""Grey images in one memory-mapped file: a sample costs one read and no decoding."""

import json
import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from filelock import FileLock
from numpy.lib.format import open_memmap
from rich.progress import track

from ..utils.files import write_whole
from ..utils.threads import cores
from .transforms.errors import BrokenImageError
from .transforms.loading import read_grey
from .transforms.resize import resize

VERSION = 3
PIXELS, INDEX, RECORD, LOCK = "pixels.bin", "index.npy", "packed.json", "lock"
DTYPES = {8: np.dtype(np.uint8), 16: np.dtype("<u2")}
# steps of a pixel in one of the scale 0 to 255
STEPS = {8: 1, 16: 257}
# a row per image: where its bytes are, height and width, stamp of its source, CRC-32, and whether it is there
ROW = np.dtype([("bytes", "<i8", 2), ("shape", "<i8", 2), ("source", "<i8", 2), ("crc", "<u4"), ("done", "?")])


def resize_shorter(img: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Resizes so that the shorter side has `size` pixels, or to `size` = (height, width).

    Args:
        img: (H, W).
        size: In pixels. A shorter side below it is left as it is.

    Returns:
        The resized image; shrunk by area averaging, enlarged bilinearly.
    """
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


def pack_images(
    root: str | os.PathLike,
    paths: Sequence[str],
    folder: str | os.PathLike,
    size: int | tuple[int, int],
    read: Callable[[str], np.ndarray] = read_grey,
    jobs: int = 1,
    depth: int = 8,
    settings: dict | None = None,
    skip_broken: bool = False,
) -> None:
    """Writes images into a folder that :class:`PackedImages` reads.

    If interrupted, the same call resumes where it stopped; :class:`PackedImages` refuses the folder until then. A
    finished folder is left alone, even if the images have changed since (see :meth:`PackedImages.changed`): remove it
    to pack them again. If several processes pack into the same folder, one works and the others wait.

    Args:
        root: Folder that the paths are relative to.
        paths: Of the images, without repetition.
        folder: To write.
        size: Pixels of the shorter side, or (height, width). A shorter side below it is left as it is.
        read: Takes a path and gives a grey image, uint8, or float32 on the scale 0 to 255, which is rounded to `depth`.
        jobs: Threads that read; 0 for one per core.
        depth: Bits per pixel, 8 or 16. 16 keep what 16-bit sources hold, in twice the space.
        settings: What else the pixels depend on, such as {"max_value": 4095}.
        skip_broken: Leave out images that cannot be read.

    Raises:
        BrokenImageError: (a ValueError) If images cannot be read; lists them all, after packing the others.
        ValueError: For another depth, or a folder that holds other images, or was packed at another size, depth or with
            other settings.
    """
    folder, paths = Path(folder).expanduser(), list(paths)
    if depth not in DTYPES:
        raise ValueError(f"pack_images: depth must be one of {list(DTYPES)}, got {depth}")
    shape = list(size) if isinstance(size, tuple) else size
    wanted = {"version": VERSION, "size": shape, "depth": depth, "settings": settings or {}, "paths": paths}
    if _is_packed(folder, wanted, skip_broken):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK):
        if _is_packed(folder, wanted, skip_broken):
            return
        index = open_memmap(folder / INDEX, "r+" if _has_images(folder) else "w+", ROW, (len(paths),))
        write_whole(folder / RECORD, json.dumps({**wanted, "complete": False}).encode())
        files = [os.path.join(root, path) for path in paths]

        def stored(file: str) -> np.ndarray:
            return rounded(resize_shorter(read(file), size), depth)

        broken = _pack(folder / PIXELS, index, files, stored, jobs or cores())
        if broken and (not skip_broken or len(broken) == len(paths)):
            lines = "\n    ".join(broken)
            raise BrokenImageError(
                f"{folder}: not complete, {len(broken)} of {len(paths)} images cannot be read:\n    {lines}\n"
                "Repair them and run this again, or leave them out (--skip-broken, in Python skip_broken=True)"
            )
        record = {**wanted, "complete": True, "bytes": (folder / PIXELS).stat().st_size, "broken": broken}
        write_whole(folder / RECORD, json.dumps(record).encode())


def _is_packed(folder: Path, wanted: dict, skip_broken: bool) -> bool:
    """Whether a folder holds what is wanted already; it is an error if it holds anything else."""
    if not (folder / RECORD).exists():
        return False
    found = json.loads((folder / RECORD).read_text())
    different = [key for key, value in wanted.items() if found.get(key) != value]
    if different and not found["complete"] and not _has_images(folder):
        return False
    if different:
        raise ValueError(
            f"{folder} holds other packed images ({', '.join(different)} differ): name another folder, or remove it"
        )
    return found["complete"] and (skip_broken or not found["broken"])


def _has_images(folder: Path) -> bool:
    """Whether an earlier packing stored at least one image."""
    return (folder / RECORD).exists() and (folder / PIXELS).exists() and (folder / PIXELS).stat().st_size > 0


def _pack(path: Path, index: np.memmap, files: list[str], read: Callable, jobs: int) -> list[str]:
    """Appends the images that are not there yet to the file of pixels; returns what is wrong with broken ones."""
    broken = []

    def one(file: str) -> tuple[tuple[int, int], np.ndarray | str]:
        source = stamp(file)  # before it is read: a change meanwhile shows later
        try:
            return source, read(file)
        except BrokenImageError as error:
            return source, str(error)

    # threads, since OpenCV hangs in a fork of a process that has used its own threads: so those rest meanwhile
    own = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with open(path, "a+b") as pixels, ThreadPoolExecutor(jobs) as pool:
            pixels.truncate(_keep_whole(index, pixels, files))
            todo = np.flatnonzero(~index["done"]).tolist()
            chunks = [todo[start : start + 16 * jobs] for start in range(0, len(todo), 16 * jobs)]
            for chunk in track(chunks, "Packing images", transient=True, disable=len(todo) < 200):
                for row, (source, image) in zip(chunk, pool.map(one, [files[row] for row in chunk]), strict=True):
                    if isinstance(image, str):
                        broken.append(image)
                        continue
                    start = pixels.seek(0, os.SEEK_END)
                    pixels.write(image)
                    pixels.flush()
                    index[row] = ((start, start + image.nbytes), image.shape, source, zlib.crc32(image), True)
            os.fsync(pixels.fileno())
    finally:
        cv2.setNumThreads(own)
    index.flush()
    return broken


def _keep_whole(index: np.memmap, pixels: BinaryIO, files: list[str]) -> int:
    """Unmarks images whose pixels did not reach the disk or whose source has changed; returns the end of the others."""
    end = 0
    for row in np.flatnonzero(index["done"]).tolist():
        (start, stop), source = index["bytes"][row].tolist(), tuple(index["source"][row].tolist())
        pixels.seek(start)
        whole = zlib.crc32(pixels.read(stop - start)) == index["crc"][row] and stamp(files[row]) == source
        index["done"][row] = whole
        end = max(end, stop if whole else 0)
    return end


class PackedImages:
    """Reads what :func:`pack_images` wrote. Each process maps the file at first use; all share its memory.

    Args:
        folder: The folder.

    Attributes:
        paths: Of the images, (n,), without broken ones.
        shapes: (height, width) of each, (n, 2).
        record: What packed.json says, without the paths.

    Raises:
        FileNotFoundError: If it holds no packed images, or their packing was interrupted.
        ValueError: If they are of another version, or pixels or index have another size than recorded.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder).expanduser()
        file = self.folder / RECORD
        self.record = json.loads(file.read_text()) if file.exists() else {}
        if self.record.get("version", VERSION) != VERSION:
            raise ValueError(f"{file}: version {self.record['version']}, expected {VERSION}: pack the images again")
        if not self.record.get("complete"):
            raise FileNotFoundError(
                f"{self.folder}: no packed images, or their packing was interrupted: pack them again"
            )
        self.depth = self.record["depth"]
        paths, index = np.array(self.record.pop("paths")), np.load(self.folder / INDEX)
        size = os.path.getsize(self.folder / PIXELS)
        if size != self.record["bytes"] or len(index) != len(paths):
            raise ValueError(
                f"{self.folder}: damaged, pixels of {size} bytes, not {self.record['bytes']}, or an index of "
                f"{len(index)} images, not {len(paths)}: remove the folder and pack the images again"
            )
        self._index = index[index["done"]]
        self.paths, self.shapes = paths[index["done"]], self._index["shape"].copy()
        self._spans = self._index["bytes"].copy()
        self._pixels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_pixels": None}

    def rows(self, paths: Sequence[str] | np.ndarray) -> np.ndarray:
        """Rows of images, (n,), -1 for those that are not there."""
        row_of = {path: row for row, path in enumerate(self.paths.tolist())}
        return np.array([row_of.get(path, -1) for path in np.asarray(paths).tolist()], np.int64)

    def _bytes(self, row: int) -> np.ndarray:
        if self._pixels is None:
            # a plain view: slices of a memmap are slow to make
            self._pixels = np.asarray(np.memmap(self.folder / PIXELS, np.uint8, "r"))
        start, stop = self._spans[row]
        return self._pixels[start:stop]

    def __getitem__(self, row: int) -> np.ndarray:
        """An image (H, W): uint8 that must not be written to, or float32 on the scale 0 to 255 of 16 bits."""
        image = self._bytes(row).view(DTYPES[self.depth]).reshape(self.shapes[row])
        return image if self.depth == 8 else image * np.float32(1 / STEPS[self.depth])

    def changed(self, root: str | os.PathLike) -> list[str]:
        """Sources that are not what they were when they were packed.

        Args:
            root: Folder that the paths are relative to.

        Returns:
            One line per image: its path, and what has become of it.
        """
        now = [stamp(os.path.join(root, path)) for path in self.paths.tolist()]
        rows = np.flatnonzero((self._index["source"] != np.array(now).reshape(-1, 2)).any(1)).tolist()
        return [f"{self.paths[row]}: {'gone' if now[row][0] < 0 else 'written to since'}" for row in rows]

    def verify(self) -> None:
        """Reads all pixels, and compares their checksums with the index.

        Raises:
            ValueError: If one differs; names the image.
        """
        for row, path in enumerate(self.paths.tolist()):
            if zlib.crc32(self._bytes(row)) != self._index["crc"][row]:
                raise ValueError(
                    f"{self.folder / PIXELS} is damaged at {path}: remove the folder and pack the images again"
                )
