"""Grey images in one memory-mapped file: a sample costs one read and no decoding."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn

from ..fileio import write_whole
from .journal import GrowingPixels, stamp
from .transforms.loading import read_grey
from .transforms.resize import resize

FORMAT = "otcxr_mm packed grey images"
# 1 had 8 bits only, and no stamps of the sources; it is read as before
VERSION, READABLE = 2, (1, 2)
PIXELS, INDEX, RECORD, JOURNAL, LOCK = "pixels.bin", "index.npz", "packed.json", "journal.txt", "lock"
DTYPES = {8: np.dtype(np.uint8), 16: np.dtype("<u2")}
# steps of a pixel in one of the scale 0 to 255
STEPS = {8: 1, 16: 257}


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


def pack_images(
    root: str | os.PathLike,
    paths: Sequence[str],
    folder: str | os.PathLike,
    size: int | tuple[int, int],
    read: Callable[[str], np.ndarray] = read_grey,
    jobs: int = 1,
    depth: int = 8,
    settings: dict | None = None,
) -> None:
    """Writes images into a folder that :class:`PackedImages` reads.

    A folder that holds the same paths at the same size is left alone, whatever became of the images since
    (:meth:`PackedImages.changed` tells that): remove it to pack them again. The record that makes it valid is written
    last. An interrupted call leaves nothing that would be read, and the next one goes on where it was. Of several
    processes that pack into one folder, the others wait for the first.

    Args:
        root: Folder that the paths are relative to.
        paths: Of the images, without repetition.
        folder: To write.
        size: Pixels of the shorter side, or (height, width). A shorter side below it is left as it is.
        read: Takes a path and gives a grey image, uint8, or float32 on the scale 0 to 255, which is rounded to `depth`.
        jobs: Threads that read; 0: one a core.
        depth: Bits a pixel, 8 or 16. 16 keep what 16-bit sources hold, in twice the space.
        settings: What else the pixels depend on, such as {"max_value": 4095}; recorded, and another one is refused.

    Raises:
        ValueError: If an image cannot be read, the depth is another one, or the folder holds other images, or those at
            another size, depth or with other settings.
    """
    folder, paths = Path(folder).expanduser(), list(paths)
    if depth not in DTYPES:
        raise ValueError(f"pack_images: depth is one of {list(DTYPES)}, got {depth}")
    wanted = {
        "format": FORMAT,
        "version": VERSION,
        "size": list(size) if isinstance(size, tuple) else size,
        "depth": depth,
        "settings": settings or {},
        "count": len(paths),
        "paths_sha256": _paths_sha256(paths),
    }
    if _is_packed(folder, wanted):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK):
        if not _is_packed(folder, wanted):
            _pack([os.path.join(root, path) for path in paths], paths, folder, size, read, jobs or _cores(), wanted)


def rounded(img: np.ndarray, depth: int) -> np.ndarray:
    """An image (H, W) on the scale 0 to 255, uint8 or float32, in the steps of 8 or 16 bits, contiguous."""
    step = STEPS[depth]
    if img.dtype == np.uint8 and step == 1:
        return np.ascontiguousarray(img)
    return np.ascontiguousarray(np.clip(np.rint(img * np.float32(step)), 0, 255 * step), DTYPES[depth])


def _paths_sha256(paths: list[str]) -> str:
    return hashlib.sha256("\n".join(paths).encode()).hexdigest()


def _is_packed(folder: Path, wanted: dict) -> bool:
    """Whether a folder holds what is wanted already; another thing is an error."""
    if not (folder / RECORD).exists():
        return False
    found = {"depth": 8, "settings": {}, **json.loads((folder / RECORD).read_text())}
    if found.get("version") in READABLE:
        found["version"] = VERSION
    different = [key for key, value in wanted.items() if found.get(key) != value]
    if different:
        raise ValueError(
            f"{folder} holds other packed images ({', '.join(different)} differ): name another folder, or remove it"
        )
    return True


def _pack(
    files: list[str],
    paths: list[str],
    folder: Path,
    size: int | tuple[int, int],
    read: Callable[[str], np.ndarray],
    jobs: int,
    wanted: dict,
) -> None:
    depth = wanted["depth"]

    def one(file: str) -> tuple[np.ndarray, tuple[int, int]]:
        source = stamp(file)  # before it is read: a change meanwhile shows later
        return rounded(resize_shorter(read(file), size), depth), source

    pixels = GrowingPixels(folder / PIXELS, folder / JOURNAL, wanted, files, DTYPES[depth])
    try:
        done = len(pixels.shapes)
        with _progress(len(files)) as progress:
            task = progress.add_task("Packing images", completed=done, total=len(files))
            for image, source in _in_order(one, files[done:], jobs):
                pixels.append(image, source)
                progress.advance(task)
    finally:
        pixels.close()
    shapes = np.array(pixels.shapes, np.int64).reshape(-1, 2)
    index = folder / f"tmp.{os.getpid()}.{INDEX}"
    np.savez(index, path=np.array(paths), shape=shapes, source=np.array(pixels.stamps, np.int64).reshape(-1, 2))
    os.replace(index, folder / INDEX)
    size_in_bytes = int(shapes.prod(1).sum()) * DTYPES[depth].itemsize
    record = {**wanted, "bytes": size_in_bytes, "pixels_sha256": pixels.digest.hexdigest()}
    write_whole(folder / RECORD, (json.dumps(record, indent=2) + "\n").encode())
    (folder / JOURNAL).unlink()


def _in_order(function: Callable, items: list[str], jobs: int) -> Iterator:
    """Results in order, computed by `jobs` threads, a few ahead of what is taken."""
    # threads, since OpenCV hangs in a fork of a process that has used its own threads: so those rest meanwhile
    own = cv2.getNumThreads()
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(jobs) as pool:
        ahead: deque[Future] = deque()
        try:
            for item in items:
                ahead.append(pool.submit(function, item))
                if len(ahead) >= 4 * jobs:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
            cv2.setNumThreads(own)


class _Rate(TextColumn):
    """Images a second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> str:
        """The rate of the last while."""
        return f"{task.speed:.0f} images/s" if task.speed else ""


def _progress(total: int) -> Progress:
    """A bar with rate and time left, if the images are many."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=total < 200)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PackedImages:
    """Reads what :func:`pack_images` wrote. The file is mapped at first use, in every process by itself, and shared.

    Args:
        folder: The folder.

    Attributes:
        paths: Of the images, (n,).
        shapes: (height, width) of each, (n, 2).
        record: What packed.json says.

    Raises:
        FileNotFoundError: If it holds no (complete) packed images.
        ValueError: If they are of another version, or the file of pixels or the index is damaged.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder).expanduser()
        try:
            self.record = record = json.loads((self.folder / RECORD).read_text())
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{self.folder}: no {RECORD}, so no packed images, or their writing was interrupted: pack them again"
            ) from None
        if record.get("format") != FORMAT or record.get("version") not in READABLE:
            raise ValueError(
                f"{self.folder / RECORD}: {record.get('format')!r} version {record.get('version')}, not {FORMAT!r} "
                f"version {' or '.join(map(str, READABLE))}: pack the images again"
            )
        self.depth = record.get("depth", 8)
        file = self.folder / PIXELS
        size = file.stat().st_size if file.exists() else 0
        if size != record["bytes"]:
            raise ValueError(
                f"{file} has {size} bytes, not {record['bytes']}: pack the images again, into an empty folder"
            )
        with np.load(self.folder / INDEX) as index:
            self.paths, self.shapes = index["path"], index["shape"]
            self._stamps = index.get("source")
        self.starts = np.concatenate([[0], self.shapes.prod(1).cumsum()])
        if len(self) != record["count"] or self.starts[-1] * DTYPES[self.depth].itemsize != size:
            raise ValueError(
                f"{self.folder / INDEX} does not fit {RECORD}: pack the images again, into an empty folder"
            )
        self._forget()

    def _forget(self) -> None:
        self._pixels: np.ndarray | None = None
        self._row_of: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_pixels": None, "_row_of": None}

    def rows(self, paths: Sequence[str] | np.ndarray) -> np.ndarray:
        """Where images stand, (n,), -1 for those that are not there."""
        if self._row_of is None:
            self._row_of = {path: row for row, path in enumerate(self.paths.tolist())}
        return np.array([self._row_of.get(path, -1) for path in np.asarray(paths).tolist()], np.int64)

    def __getitem__(self, row: int) -> np.ndarray:
        """An image (H, W): uint8 that must not be written to, or float32 on the scale 0 to 255 of 16 bits."""
        if self._pixels is None:
            # a plain view: slices of a memmap are slow to make
            self._pixels = np.asarray(np.memmap(self.folder / PIXELS, DTYPES[self.depth], "r"))
        image = self._pixels[self.starts[row] : self.starts[row + 1]].reshape(self.shapes[row])
        return image if self.depth == 8 else image * np.float32(1 / STEPS[self.depth])

    def changed(self, root: str | os.PathLike) -> list[str]:
        """Which sources are not what they were when they were packed.

        Args:
            root: Folder that the paths are relative to.

        Returns:
            One line an image: its path, and what is different. Empty for version 1, which did not look.
        """
        if self._stamps is None:
            return []
        lines = []
        for path, then in zip(self.paths.tolist(), self._stamps.tolist(), strict=True):
            now = stamp(os.path.join(root, path))
            if now[0] != then[0]:
                lines.append(f"{path}: {'gone' if now[0] < 0 else f'{then[0]} bytes then, {now[0]} now'}")
            elif now[1] != then[1]:
                lines.append(f"{path}: written to since")
        return lines

    def verify(self) -> None:
        """Reads all pixels, and compares count, paths and pixels with the record.

        Raises:
            ValueError: If they differ.
        """
        digest = hashlib.sha256()
        with open(self.folder / PIXELS, "rb") as stream:
            while block := stream.read(1 << 24):
                digest.update(block)
        if digest.hexdigest() != self.record["pixels_sha256"]:
            raise ValueError(f"{self.folder / PIXELS} is damaged: remove the folder and pack the images again")
        if _paths_sha256(self.paths.tolist()) != self.record["paths_sha256"]:
            raise ValueError(f"{self.folder / INDEX} is damaged: remove the folder and pack the images again")
