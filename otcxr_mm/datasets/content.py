"""What images show, as the pipeline of their data set reads them."""

import hashlib
from collections.abc import Callable

import numpy as np

from .base import BaseCXRDataset
from .transforms import LoadCXR
from .transforms.errors import BrokenImageError

# raised for a broken file, unlike a missing library or a max_value that does not fit
UNREADABLE = (BrokenImageError, OSError)


def reader(dataset: BaseCXRDataset) -> Callable[[int], np.ndarray]:
    """Makes a function that reads the image in a row, as the data set's pipeline does before any resizing.

    Args:
        dataset: The data set. If its pipeline has no LoadCXR, a default one reads.

    Returns:
        A function from a row to an image (H, W), uint8 or float32 on the scale 0 to 255.
    """
    load = next((t for t in dataset.pipeline.transforms if isinstance(t, LoadCXR)), None) or LoadCXR()

    def read(row: int) -> np.ndarray:
        info = dataset.get_data_info(row)
        # without the masks, which may not fit where the image is fine
        return load.transform({key: info[key] for key in ("img_path", "img") if key in info})["img"]

    return read


def pixel_digest(read: Callable[[int], np.ndarray], row: int) -> str:
    """SHA-256 of the pixels in a row of a :func:`reader`, rounded to 8 bits; '' if they cannot be read."""
    try:
        img = read(row)
    except UNREADABLE:
        return ""
    pixels = np.rint(img).clip(0, 255).astype(np.uint8)
    return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
