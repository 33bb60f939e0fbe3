"""Grey images in one memory-mapped file: a sample costs one read and no decoding."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from ..fileio import write_whole
from .transforms.loading import read_grey

FORMAT = "otcxr_mm packed grey images"
VERSION = 1
PIXELS, INDEX, RECORD = "pixels.bin", "index.npz", "packed.json"


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
    if size == (height, width):
        return img
    shrinks = size[0] < height or size[1] < width
    return cv2.resize(img, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def pack_images(
    root: str | os.PathLike,
    paths: Sequence[str],
    folder: str | os.PathLike,
    size: int | tuple[int, int],
    read: Callable[[str], np.ndarray] = read_grey,
    jobs: int = 1,
) -> None:
    """Writes images into a folder that :class:`PackedImages` reads.

    A folder that holds the same paths at the same size is left alone, whatever became of the images since: remove it to
    pack them again. The record that makes it valid is written last: an interrupted call leaves nothing that would be
    read.

    Args:
        root: Folder that the paths are relative to.
        paths: Of the images, without repetition.
        folder: To write.
        size: As in :func:`resize_shorter`.
        read: Takes a path and gives a grey image, uint8, or float32 on the scale 0 to 255, which is rounded.
        jobs: Threads that read; 0: one a core.

    Raises:
        ValueError: If an image cannot be read, or the folder holds other images or another size.
    """
    folder, paths = Path(folder).expanduser(), list(paths)
    wanted = {
        "format": FORMAT,
        "version": VERSION,
        "size": list(size) if isinstance(size, tuple) else size,
        "count": len(paths),
        "paths_sha256": hashlib.sha256("\n".join(paths).encode()).hexdigest(),
    }
    if (folder / RECORD).exists():
        found = json.loads((folder / RECORD).read_text())
        different = [key for key, value in wanted.items() if found.get(key) != value]
        if different:
            raise ValueError(
                f"{folder} holds other packed images ({', '.join(different)} differ): name another folder, or remove it"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    shapes = np.empty((len(paths), 2), np.int64)
    digest = hashlib.sha256()
    temporary = folder / f"{PIXELS}.tmp.{os.getpid()}"
    try:
        with open(temporary, "wb") as stream:
            for i, pixels in enumerate(_read_all([os.path.join(root, path) for path in paths], size, read, jobs)):
                shapes[i] = pixels.shape
                stream.write(pixels)
                digest.update(pixels)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, folder / PIXELS)
    finally:
        temporary.unlink(missing_ok=True)
    index = folder / f"tmp.{os.getpid()}.{INDEX}"
    np.savez(index, path=np.array(paths), shape=shapes)
    os.replace(index, folder / INDEX)
    record = {**wanted, "bytes": int(shapes.prod(1).sum()), "pixels_sha256": digest.hexdigest()}
    write_whole(folder / RECORD, (json.dumps(record, indent=2) + "\n").encode())


def _read_all(paths: list[str], size: int | tuple[int, int], read: Callable, jobs: int) -> Iterator[np.ndarray]:
    """Images in order, read by `jobs` threads, with a progress bar if they are many."""

    def one(path: str) -> np.ndarray:
        return np.ascontiguousarray(np.clip(np.rint(resize_shorter(read(path), size)), 0, 255), np.uint8)

    # threads, since OpenCV hangs in a fork of a process that has used its own threads: so those rest meanwhile
    own = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(jobs or _cores()) as pool:
            images = (image for i in range(0, len(paths), 256) for image in pool.map(one, paths[i : i + 256]))
            yield from track(images, "Packing images", total=len(paths), transient=True, disable=len(paths) < 200)
    finally:
        cv2.setNumThreads(own)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PackedImages:
    """Reads what :func:`pack_images` wrote. The file is mapped at first use, in every process by itself.

    Args:
        folder: The folder.

    Raises:
        FileNotFoundError: If it holds no (complete) packed images.
        ValueError: If they are of another version, or the file of pixels is damaged.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder).expanduser()
        try:
            record = json.loads((self.folder / RECORD).read_text())
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{self.folder}: no {RECORD}, so no packed images, or their writing was interrupted: pack them again"
            ) from None
        if record.get("format") != FORMAT or record.get("version") != VERSION:
            raise ValueError(
                f"{self.folder / RECORD}: {record.get('format')!r} version {record.get('version')}, not {FORMAT!r} "
                f"version {VERSION}: pack the images again"
            )
        size = (self.folder / PIXELS).stat().st_size
        if size != record["bytes"]:
            raise ValueError(
                f"{self.folder / PIXELS} has {size} bytes, not {record['bytes']}: pack the images again, into an empty "
                "folder"
            )
        with np.load(self.folder / INDEX) as index:
            self.paths, self.shapes = index["path"], index["shape"]
        self.starts = np.concatenate([[0], self.shapes.prod(1).cumsum()])
        self._pixels: np.memmap | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_pixels": None}

    def rows(self, paths: Sequence[str] | np.ndarray) -> np.ndarray:
        """Where images stand, (n,), -1 for those that are not there."""
        where = {path: row for row, path in enumerate(self.paths.tolist())}
        return np.array([where.get(path, -1) for path in np.asarray(paths).tolist()], np.int64)

    def __getitem__(self, row: int) -> np.ndarray:
        """An image, uint8 (H, W), that must not be written to."""
        if self._pixels is None:
            self._pixels = np.memmap(self.folder / PIXELS, np.uint8, "r")
        return np.asarray(self._pixels[self.starts[row] : self.starts[row + 1]]).reshape(self.shapes[row])

    def verify(self) -> None:
        """Reads all pixels and compares their SHA-256 with that of the record.

        Raises:
            ValueError: If they differ.
        """
        digest = hashlib.sha256()
        with open(self.folder / PIXELS, "rb") as stream:
            while block := stream.read(1 << 24):
                digest.update(block)
        if digest.hexdigest() != json.loads((self.folder / RECORD).read_text())["pixels_sha256"]:
            raise ValueError(f"{self.folder / PIXELS} is damaged: remove the folder and pack the images again")
