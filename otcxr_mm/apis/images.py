"""From what a user has (files, folders, arrays) to tensors; a file that cannot be read is a reason, not the end."""

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import Compose
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..datasets.image_files import SUFFIXES, walk_images
from ..datasets.packed import RECORD, PackedImages
from ..datasets.tables import read_list
from ..datasets.transforms.errors import BrokenImageError, white_of

Inputs = str | os.PathLike | np.ndarray | Tensor | Sequence
# what a damaged, unsuitable or missing file raises; other exceptions are faults of the program
UNREADABLE = (ValueError, OSError, ImportError, MemoryError, cv2.error)


@dataclass(frozen=True)
class Image:
    """An image to read.

    Attributes:
        name: Its path as the user gave it, or what stands for one.
        pixels: (H, W), if it is in memory.
        packed: The packed images that it is one of, in the row `row`.
    """

    name: str
    pixels: np.ndarray | None = None
    packed: PackedImages | None = None
    row: int = 0

    def load(self) -> dict:
        """What a pipeline begins with."""
        if self.packed is not None:
            return {"img": self.packed[self.row], "img_path": self.name}
        if self.pixels is not None:
            return {"img": grey_of(self.pixels, self.name), "img_path": self.name}
        return {"img_path": self.name}


@dataclass
class Prepared:
    """An image as the network takes it, (C, H, W), and its original size; or the reason why there is none."""

    index: int
    tensor: Tensor | None = None
    shape: tuple[int, int] = (0, 0)
    reason: str = ""

    def require(self) -> Tensor:
        """The tensor; or a ValueError with the reason, if there is none."""
        if self.tensor is None:
            raise ValueError(self.reason)
        return self.tensor


def grey_of(pixels: np.ndarray, name: str) -> np.ndarray:
    """An array as :func:`.loading.read_grey` would return it.

    Args:
        pixels: (H, W), or (H, W, 3) RGB: uint8, uint16 with 65535 for white, or floats from 0 to 255.
        name: Named in errors.

    Raises:
        BrokenImageError: (a ValueError) For another shape, type or range.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8:
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if pixels.ndim != 2 or not pixels.size:
        raise BrokenImageError(f"{name}: an array of the shape {pixels.shape}; expected (height, width)")
    if pixels.dtype == np.uint16:
        return pixels.astype(np.float32) * np.float32(255 / white_of(name, int(pixels.max()), None))
    if pixels.dtype.kind == "f":
        # a NaN fails, too
        if not (pixels.min() >= 0 and 1 < pixels.max() <= 255):
            raise BrokenImageError(
                f"{name}: floats from {pixels.min():.4g} to {pixels.max():.4g}; expected 0 for black to 255 for white"
            )
        return pixels.astype(np.float32)
    if pixels.dtype != np.uint8:
        raise BrokenImageError(f"{name}: an array of {pixels.dtype}; expected uint8, uint16, or floats from 0 to 255")
    return pixels


def find_images(inputs: Inputs) -> list[Image]:
    """Lists images in the order given.

    Args:
        inputs: A file; a folder, searched with its subfolders for image files, and for DICOM under any name; a folder
            of packed images; a pattern such as ``'study/*.png'``; a `.txt` with a path per line; an array (H, W); or a
            sequence of these. A file that is named need not exist: it becomes an image that cannot be read.

    Raises:
        FileNotFoundError: If a folder or pattern holds no image.
        TypeError: For anything else.
    """
    if isinstance(inputs, Tensor):
        inputs = inputs.cpu().numpy()
    if isinstance(inputs, (str, os.PathLike)):
        return _files(os.fspath(inputs))
    if isinstance(inputs, np.ndarray):
        return [Image("array", inputs)]
    if not isinstance(inputs, Sequence):
        raise TypeError(f"expected paths or arrays, got {type(inputs).__name__}")
    found = []
    for number, entry in enumerate(inputs):
        images = find_images(entry)
        found += images if images[0].pixels is None else [Image(f"array {number}", images[0].pixels)]
    return found


def _files(path: str) -> list[Image]:
    place = os.path.expanduser(path)
    if os.path.isfile(os.path.join(place, RECORD)):
        packed = PackedImages(place)
        return [Image(name, packed=packed, row=row) for row, name in enumerate(packed.paths.tolist())]
    if os.path.isdir(place):
        names = sorted({*walk_images(Path(place)), *_unnamed_dicom(place)})
        found = [os.path.join(place, name) for name in names]
    elif place.lower().endswith(".txt") and os.path.isfile(place):
        found = [os.path.expanduser(line) for line in read_list(Path(place)).tolist()]
    elif glob.has_magic(place) and not os.path.lexists(place):
        found = sorted(name for name in glob.glob(place, recursive=True) if not os.path.isdir(name))
    else:
        found = [place]
    if not found:
        raise FileNotFoundError(f"{path}: no images here")
    return [Image(name) for name in found]


def _unnamed_dicom(folder: str) -> Iterator[str]:
    """Files that are DICOM by their content alone, as scanners and archives name them: IM000001, 1.2.840.113..."""
    for parent, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(parent, name)
            if name.startswith(".") or name.lower().endswith(SUFFIXES) or not os.path.isfile(file):
                continue
            with suppress(OSError), open(file, "rb") as stream:
                if stream.read(132)[128:] == b"DICM":
                    yield os.path.relpath(file, folder)


class _Reading(Dataset):
    """Reads images; one that cannot be read gives the reason."""

    def __init__(self, images: Sequence[Image], steps: Compose) -> None:
        self.images, self.steps = images, steps

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Prepared:
        image = self.images[index]
        try:
            results = self.steps(image.load())
            shape = results.get("ori_shape") or results["img"].shape[:2]
            return Prepared(index, _tensor(results["img"]), tuple(shape[:2]))
        except UNREADABLE as error:
            text = (str(error).splitlines() or [""])[0] or type(error).__name__
            return Prepared(index, reason=text if image.name in text else f"{image.name}: {text}")


def _tensor(img: np.ndarray) -> Tensor:
    img = img[None] if img.ndim == 2 else img.transpose(2, 0, 1)
    # what is packed is read-only, and of a part of a file
    return torch.from_numpy(np.array(img, order="C"))


def _start_worker(number: int) -> None:
    cv2.setNumThreads(0)


def batches(images: Sequence[Image], steps: Compose, batch_size: int, workers: int) -> Iterator[list[Prepared]]:
    """Reads images in their order.

    Args:
        images: To read.
        steps: From :meth:`Image.load` to `img`.
        batch_size: Images in a batch, the last of which may be smaller.
        workers: Processes that read; 0 reads in this one.
    """
    workers = min(workers, -(-len(images) // batch_size))
    loader = DataLoader(
        _Reading(images, steps),
        batch_size,
        num_workers=workers,
        collate_fn=list,
        worker_init_fn=_start_worker,
        # as in training; from Python 3.14 on, the default would import everything again in each worker
        multiprocessing_context="fork" if workers else None,
    )
    return iter(loader)
