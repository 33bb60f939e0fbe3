"""Digests of what images show, to find those that are stored twice."""

import hashlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from rich.progress import track

from .base_cxr import BaseCXRDataset
from .packed import RECORD, resize_shorter
from .transforms import LoadCXR

# what packed images were resized to; None: as they are in the file
Size = int | tuple[int, int] | None


def _map(function: Callable, items: Sequence, jobs: int, what: str) -> list:
    """Results in order, by threads, with a progress bar if they are many."""
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        results = pool.map(function, items)
        return list(track(results, what, total=len(items), transient=True, disable=len(items) < 200))


def _ambiguous(keys: Mapping[str, object]) -> list[str]:
    """Files whose key another file has too, or that have none."""
    counts = Counter(keys.values())
    return [file for file, key in keys.items() if key is None or counts[key] > 1]


def file_digests(lists: Sequence[Sequence[str]], jobs: int = 0) -> list[dict[Size, list[bytes]]]:
    """Digests of whole files, of which only those are read that may have an equal.

    Args:
        lists: Paths of the files of each data set.
        jobs: Threads; 0: one a core.

    Returns:
        For each data set {None: SHA-256 of each file}; b'' for a file that has no equal.
    """
    files = sorted({file for one in lists for file in one})
    sizes = dict(zip(files, map(os.path.getsize, files), strict=True))

    def middle(file: str) -> tuple[int, bytes]:
        with open(file, "rb") as stream:
            stream.seek(sizes[file] // 2)
            return sizes[file], stream.read(4096)

    def whole(file: str) -> bytes:
        with open(file, "rb") as stream:
            return hashlib.sha256(stream.read()).digest()

    # equally long, then equal in the middle, then read as a whole
    files = _ambiguous(sizes)
    files = _ambiguous(dict(zip(files, _map(middle, files, jobs, "Comparing files"), strict=True)))
    digest_of = dict(zip(files, _map(whole, files, jobs, "Reading files"), strict=True))
    return [{None: [digest_of.get(file, b"") for file in one]} for one in lists]


def pixel_digests(sets: Sequence[tuple[BaseCXRDataset, Sequence[str]]], jobs: int = 0) -> list[dict[Size, list[bytes]]]:
    """Digests of pixels, read as the pipeline of each data set does, or of its packed images.

    Where nothing is packed, images whose height and width no other one has are not read.

    Args:
        sets: Each data set with the paths of its images.
        jobs: Threads; 0: one a core.

    Returns:
        For each data set, by size, the SHA-256 of each image; b'' for one that has no equal. A packed set has its own
        size only. One of files has None, its pixels as they are, and every size that another set is packed at.
    """
    packed = {i: _packed_size(dataset) for i, (dataset, _) in enumerate(sets) if dataset.packed is not None}
    sizes = [None, *sorted(set(packed.values()), key=str)]
    reader_of: dict[str, Callable] = {}
    for i, (dataset, files) in enumerate(sets):
        if i not in packed:
            reader_of.update(dict.fromkeys(files, _reader(dataset)))
    files = sorted(reader_of)
    if not packed:
        files = _ambiguous(dict(zip(files, _map(_shape, files, jobs, "Looking at sizes"), strict=True)))

    def of_file(file: str) -> list[bytes]:
        img = reader_of[file](file)
        return [_digest(img if size is None else _as_packed(img, size)) for size in sizes]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of 12-bit data in 16 bits: they are compared, not shown
        found = dict(zip(files, _map(of_file, files, jobs, "Reading images"), strict=True))
    nothing = [b""] * len(sizes)
    digests: list[dict[Size, list[bytes]]] = []
    for i, (dataset, files) in enumerate(sets):
        if i in packed:
            digests.append({packed[i]: _map(_of_packed(dataset), dataset.rows.tolist(), jobs, "Reading images")})
        else:
            digests.append({size: [found.get(file, nothing)[k] for file in files] for k, size in enumerate(sizes)})
    return digests


def _digest(img: np.ndarray) -> bytes:
    return hashlib.sha256(f"{img.dtype} {img.shape}".encode() + np.ascontiguousarray(img).tobytes()).digest()


def _packed_size(dataset: BaseCXRDataset) -> int | tuple[int, int]:
    size = json.loads((dataset.packed.folder / RECORD).read_text())["size"]
    return tuple(size) if isinstance(size, list) else size


def _of_packed(dataset: BaseCXRDataset) -> Callable[[int], bytes]:
    return lambda row: _digest(dataset.packed[row])


def _as_packed(img: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    return np.clip(np.rint(resize_shorter(img, size)), 0, 255).astype(np.uint8)


def _reader(dataset: BaseCXRDataset) -> Callable[[str], np.ndarray]:
    load = next((t for t in dataset.pipeline.transforms if isinstance(t, LoadCXR)), None) or LoadCXR()
    return lambda file: load.transform({"img_path": file})["img"]


def _shape(file: str) -> tuple[int, int] | None:
    """Width and height from the head of a file; None if it does not say."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as img:
            return img.size
    except (UnidentifiedImageError, OSError):
        return None
