"""What images show, as the pipeline of their data set reads them."""

import hashlib
from collections.abc import Callable

import numpy as np

from .inspection import leaves
from .transforms import LoadCXR
from .transforms.errors import BrokenImageError


def reader(dataset: object) -> Callable[[int], np.ndarray | None]:
    """Makes a function that reads the image in a row as the data set's pipeline does before any resizing.

    The data set is a :class:`otcxr_mm.BaseCXRDataset`, or MMEngine's concatenation of such with one way to load.
    An image is uint8 or float32 (H, W) on the scale 0 to 255, or None if its file is broken.
    """
    steps = (step for leaf in leaves(dataset) for step in leaf.pipeline.transforms)
    load = next((step for step in steps if isinstance(step, LoadCXR)), None) or LoadCXR()

    def read(row: int) -> np.ndarray | None:
        info = dataset.get_data_info(row)
        try:
            # without the masks, which may not fit where the image is fine
            return load.transform({key: info[key] for key in ("img_path", "img") if key in info})["img"]
        except (BrokenImageError, OSError):  # not a missing library or a max_value that does not fit
            return None

    return read


def pixel_digest(img: np.ndarray | None) -> str:
    """SHA-256 of an image's pixels, rounded to 8 bits; '' without an image."""
    if img is None:
        return ""
    pixels = np.rint(img).clip(0, 255).astype(np.uint8)
    return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
