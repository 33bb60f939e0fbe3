"""Digests of what images show, to find those that are stored twice."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..utils.threads import map_in_threads
from .base import BaseCXRDataset
from .packed import resize_shorter, rounded
from .transforms import LoadCXR
from .transforms.errors import BrokenImageError

# what packed images were resized to, and their bits a pixel; None: as they are in the file
Form = tuple[int | tuple[int, int], int] | None
# what a broken file raises; a missing library or a max_value that does not fit is another thing
UNREADABLE = (BrokenImageError, OSError)


def reader(dataset: BaseCXRDataset) -> Callable[[int], np.ndarray]:
    """Reads an image of a data set, by its row, as its pipeline does before any resizing.

    Args:
        dataset: Whose pipeline has a LoadCXR; else a default one reads.

    Returns:
        Takes a row, and gives (H, W), uint8 or float32 on the scale 0 to 255.
    """
    load = next((t for t in dataset.pipeline.transforms if isinstance(t, LoadCXR)), None) or LoadCXR()

    def read(row: int) -> np.ndarray:
        info = dataset.get_data_info(row)
        # without the masks, which may not fit where the image is fine
        return load.transform({key: info[key] for key in ("img_path", "img") if key in info})["img"]

    return read


def _ambiguous(keys: Mapping[str, object]) -> list[str]:
    """Files whose key another file has too; all, if the key of one is not known, as any may be its equal."""
    counts = Counter(keys.values())
    return [file for file, key in keys.items() if counts[None] or counts[key] > 1]


def file_digests(lists: Sequence[Sequence[str]], jobs: int = 0) -> list[dict[Form, list[bytes | None]]]:
    """Digests of whole files, of which only those are read that may have an equal.

    Args:
        lists: Paths of the files of each data set.
        jobs: Threads; 0: one a core.

    Returns:
        For each data set {None: SHA-256 of each file}; b'' for a file that has no equal, None for one that cannot
        be read.
    """
    sizes: dict[str, int] = {}
    unread: set[str] = set()
    for file in sorted({file for one in lists for file in one}):
        try:
            sizes[file] = os.path.getsize(file)
        except OSError:
            unread.add(file)

    def middle(file: str) -> tuple[int, bytes] | str:
        try:
            with open(file, "rb") as stream:
                stream.seek(sizes[file] // 2)
                return sizes[file], stream.read(4096)
        except OSError:
            unread.add(file)
            return file  # which no other one has

    def whole(file: str) -> bytes | None:
        try:
            with open(file, "rb") as stream:
                return hashlib.sha256(stream.read()).digest()
        except OSError:
            return None

    # equally long, then equal in the middle, then read as a whole
    files = _ambiguous(sizes)
    files = _ambiguous(dict(zip(files, map_in_threads(middle, files, "Comparing files", jobs), strict=True)))
    digest_of = dict(zip(files, map_in_threads(whole, files, "Reading files", jobs), strict=True))
    digest_of.update(dict.fromkeys(unread))
    return [{None: [digest_of.get(file, b"") for file in one]} for one in lists]


def pixel_digests(
    sets: Sequence[tuple[BaseCXRDataset, Sequence[str]]], jobs: int = 0
) -> list[dict[Form, list[bytes | None]]]:
    """Digests of pixels, read as the pipeline of each data set does, or of its packed images.

    Where nothing is packed, images whose height and width no other one has are not read.

    Args:
        sets: Each data set with the names of its images, one for all sets that hold it.
        jobs: Threads; 0: one a core.

    Returns:
        For each data set, by (size, depth), the SHA-256 of each image; b'' for one that has no equal, None for one that
        cannot be read. A packed set has its own size only, with its own depth first, and 8 bits too if another one has
        them. One of files has None, its pixels as they are, and every (size, depth) that another set is packed at.
    """
    own = {i: _packed_form(dataset) for i, (dataset, _) in enumerate(sets) if dataset.packed is not None}
    forms = [None, *sorted(set(own.values()), key=str)]
    source_of: dict[str, tuple[Callable, int]] = {}
    for i, (dataset, files) in enumerate(sets):
        if i not in own:
            read = reader(dataset)
            source_of.update({file: (read, row) for row, file in enumerate(files)})
    names = sorted(source_of)
    if not own:
        names = _ambiguous(dict(zip(names, map_in_threads(_shape, names, "Looking at sizes", jobs), strict=True)))

    def of_file(file: str) -> list[bytes | None]:
        read, row = source_of[file]
        try:
            img = read(row)
        except UNREADABLE:
            return [None] * len(forms)
        return [_digest(img if form is None else _as_packed(img, *form)) for form in forms]

    found = dict(zip(names, map_in_threads(of_file, names, "Reading images", jobs), strict=True))
    nothing = [b""] * len(forms)
    digests: list[dict[Form, list[bytes | None]]] = []
    for i, (dataset, files) in enumerate(sets):
        if i in own:
            size, depth = own[i]
            depths = [d for d in (depth, 8) if (size, d) in forms]
            rows = map_in_threads(_of_packed(dataset, depths), dataset.rows.tolist(), "Reading images", jobs)
            digests.append({(size, d): [row[k] for row in rows] for k, d in enumerate(depths)})
        else:
            digests.append({form: [found.get(file, nothing)[k] for file in files] for k, form in enumerate(forms)})
    return digests


def _digest(img: np.ndarray) -> bytes:
    return hashlib.sha256(f"{img.dtype} {img.shape}".encode() + np.ascontiguousarray(img).tobytes()).digest()


def _packed_form(dataset: BaseCXRDataset) -> tuple[int | tuple[int, int], int]:
    size = dataset.packed.record["size"]
    return tuple(size) if isinstance(size, list) else size, dataset.packed.depth


def _of_packed(dataset: BaseCXRDataset, depths: Sequence[int]) -> Callable[[int], list[bytes]]:
    return lambda row: [_digest(rounded(dataset.packed[row], depth)) for depth in depths]


def _as_packed(img: np.ndarray, size: int | tuple[int, int], depth: int) -> np.ndarray:
    return rounded(resize_shorter(img, size), depth)


def _shape(file: str) -> tuple[int, int] | None:
    """Width and height from the head of a file; None if it does not say."""
    from PIL import Image

    try:
        with Image.open(file) as img:
            return img.size
    except Exception:
        # Pillow raises anything at damaged heads
        return None
