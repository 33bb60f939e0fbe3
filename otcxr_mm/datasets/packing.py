"""Packs grey images into one memory-mapped file, which packed.py reads."""

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
from .packed import INDEX, PIXELS, RECORD, read_record, resize_shorter, rounded, stamp
from .transforms.errors import BrokenImageError
from .transforms.loading import read_grey

LOCK = "lock"
# a row per image: where its bytes are, height and width, stamp of its source, and whether it is there
ROW = np.dtype([("bytes", "<i8", 2), ("shape", "<i8", 2), ("source", "<i8", 2), ("done", "?")])


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
    """Writes images into a folder that :class:`otcxr_mm.PackedImages` reads.

    If interrupted, the same call resumes where it stopped; :class:`otcxr_mm.PackedImages` refuses the folder until
    then. A finished folder is left alone, even if the images have changed since
    (:meth:`otcxr_mm.PackedImages.changed`): remove it to pack them again. If several processes pack into the same
    folder, one works and the others wait.

    Args:
        root: Folder that the paths are relative to.
        paths: Of the images, without repetition.
        folder: To write.
        size: Pixels of the shorter side, or (height, width). A shorter side below it is left as it is.
        read: Takes a path and gives a grey image (H, W), uint8, or float32 on the scale 0 to 255.
        jobs: Threads that read; 0 for one per core.
        depth: Bits per pixel, 8 or 16. 16 keep what 16-bit sources hold, in twice the space.
        settings: What else the pixels depend on, such as {"max_value": 4095}.
        skip_broken: Leave out images that cannot be read.

    Raises:
        BrokenImageError: (a ValueError) If images cannot be read; lists them all, after packing the others.
        ValueError: If the folder holds other images, or the same at another size, depth or with other settings.
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


def _write_record(folder: Path, record: dict) -> None:
    write_whole(folder / RECORD, json.dumps(record).encode())


def _is_packed(folder: Path, wanted: dict, skip_broken: bool) -> bool:
    """Whether a folder already holds what is wanted; it is an error if it holds anything else that is complete."""
    found = read_record(folder)
    if not found.get("complete"):
        return False
    different = [key for key, value in wanted.items() if found[key] != value]
    if different:
        raise ValueError(
            f"{folder} holds other packed images ({', '.join(different)} differ): name another folder, or remove it"
        )
    return skip_broken or not found["broken"]


def _pack(root: str | os.PathLike, folder: Path, wanted: dict, read: Callable, jobs: int) -> list[str]:
    """Appends the images that are not there yet, or have changed, and returns what is wrong with broken ones."""
    files = [os.path.join(root, path) for path in wanted["paths"]]
    found = read_record(folder)
    if any(found.get(key) != value for key, value in wanted.items()):
        (folder / RECORD).unlink(missing_ok=True)
        open_memmap(folder / INDEX, "w+", ROW, (len(files),)).flush()
        (folder / PIXELS).write_bytes(b"")
    _write_record(folder, {**wanted, "complete": False})
    index = open_memmap(folder / INDEX, "r+")
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
        with open(folder / PIXELS, "a+b") as pixels, ThreadPoolExecutor(jobs) as pool:
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
    finally:
        cv2.setNumThreads(own)
    return broken
