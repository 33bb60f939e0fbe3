"""Grey images in one memory-mapped file: a sample costs one read and no decoding."""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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

PIXELS, INDEX, RECORD, LOCK = "pixels.bin", "index.npy", "packed.json", "lock"
DTYPES = {8: np.dtype(np.uint8), 16: np.dtype("<u2")}
# steps of a pixel in one of the scale 0 to 255
STEPS = {8: 1, 16: 257}
# a row per image: where its bytes are, height and width, stamp of its source, and whether it is there
ROW = np.dtype([("bytes", "<i8", 2), ("shape", "<i8", 2), ("source", "<i8", 2), ("done", "?")])


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


def pack_images(
    root: str | os.PathLike,
    paths: Sequence[str],
    folder: str | os.PathLike,
    size: int | tuple[int, int],
    read: Callable[[str], np.ndarray] = read_grey,
    jobs: int = 0,
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
        ValueError: If the folder holds other images, or was packed at another size, depth or with other settings.
    """
    folder, paths = Path(folder).expanduser(), list(paths)
    shape = list(size) if isinstance(size, tuple) else size
    wanted = {"size": shape, "depth": depth, "settings": settings or {}, "paths": paths}
    if _is_packed(folder, wanted, skip_broken):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK):
        if _is_packed(folder, wanted, skip_broken):
            return

        def stored(file: str) -> np.ndarray:
            return rounded(resize_shorter(read(file), size), depth)

        broken = _pack(root, folder, wanted, stored, jobs or cores())
        if broken and (not skip_broken or len(broken) == len(paths)):
            lines = "\n    ".join(broken)
            raise BrokenImageError(
                f"{folder}: not complete, {len(broken)} of {len(paths)} images cannot be read:\n    {lines}\n"
                "Repair them and run this again, or leave them out (--skip-broken, in Python skip_broken=True)"
            )
        size = (folder / PIXELS).stat().st_size
        _write_record(folder, {**wanted, "complete": True, "bytes": size, "broken": broken})


def _record(folder: Path) -> dict:
    """What packed.json says; {} if no image is packed yet."""
    file = folder / RECORD
    return json.loads(file.read_text()) if file.exists() else {}


def _write_record(folder: Path, record: dict) -> None:
    write_whole(folder / RECORD, json.dumps(record).encode())


def _is_packed(folder: Path, wanted: dict, skip_broken: bool) -> bool:
    """Whether a folder already holds what is wanted; it is an error if it holds anything else."""
    found = _record(folder)
    different = [key for key, value in wanted.items() if found and found[key] != value]
    if different:
        raise ValueError(
            f"{folder} holds other packed images ({', '.join(different)} differ): name another folder, or remove it"
        )
    return bool(found) and found["complete"] and (skip_broken or not found["broken"])


def _pack(root: str | os.PathLike, folder: Path, wanted: dict, read: Callable, jobs: int) -> list[str]:
    """Appends the images that are not there yet, or have changed, and returns what is wrong with broken ones."""
    files = [os.path.join(root, path) for path in wanted["paths"]]
    begun = bool(_record(folder))
    if begun:
        _write_record(folder, {**wanted, "complete": False})
    index = open_memmap(folder / INDEX, "r+" if begun else "w+", ROW, (len(files),))
    now = np.array([stamp(file) for file in files]).reshape(-1, 2)
    index["done"] &= (index["source"] == now).all(1)
    todo = np.flatnonzero(~index["done"]).tolist()
    chunks = [todo[start : start + 16 * jobs] for start in range(0, len(todo), 16 * jobs)]
    broken: list[str] = []

    def attempt(row: int) -> np.ndarray | str:
        try:
            return read(files[row])
        except BrokenImageError as error:
            return str(error)

    # threads, since OpenCV hangs in a fork of a process that has used its own threads: so those rest meanwhile
    own = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with open(folder / PIXELS, "a+b" if begun else "w+b") as pixels, ThreadPoolExecutor(jobs) as pool:
            # a rest of what was interrupted
            pixels.truncate(index["bytes"][index["done"], 1].max(initial=0))
            for chunk in track(chunks, "Packing images", transient=True, disable=len(todo) < 200):
                done = {}
                for row, image in zip(chunk, pool.map(attempt, chunk), strict=True):
                    if isinstance(image, str):
                        broken.append(image)
                        continue
                    start = pixels.seek(0, os.SEEK_END)
                    pixels.write(image)
                    done[row] = (start, start + image.nbytes), image.shape, now[row], True
                # the pixels are on the disk before the index says so
                pixels.flush()
                os.fsync(pixels.fileno())
                for row, entry in done.items():
                    index[row] = entry
                index.flush()
                if done and not begun:
                    _write_record(folder, {**wanted, "complete": False})
                    begun = True
    finally:
        cv2.setNumThreads(own)
    return broken


class PackedImages:
    """Reads what :func:`pack_images` wrote. Each process maps the file at first use; all share its memory.

    Attributes:
        paths: Of the images, (n,), without broken ones.
        depth: Bits per pixel.
        record: What packed.json says, without the paths.

    Raises:
        FileNotFoundError: If it holds no packed images, or their packing was interrupted.
        ValueError: If the file of pixels has another size than recorded.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder).expanduser()
        self.record = _record(self.folder)
        if not self.record.get("complete"):
            raise FileNotFoundError(
                f"{self.folder}: no packed images, or their packing was interrupted: pack them again"
            )
        self.depth = self.record["depth"]
        size = os.path.getsize(self.folder / PIXELS)
        if size != self.record["bytes"]:
            raise ValueError(
                f"{self.folder}: damaged, pixels of {size} bytes, expected {self.record['bytes']}: remove the folder "
                "and pack the images again"
            )
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
