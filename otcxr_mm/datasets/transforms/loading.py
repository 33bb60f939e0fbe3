"""Reading a radiograph from disk."""

import warnings
from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


def read_grey(path: str, max_value: int = 65535) -> np.ndarray:
    """Reads a PNG, JPEG, TIFF or BMP as one grey channel.

    Args:
        path: Of 8 or 16 bit; colours and transparency are reduced to luminance.
        max_value: What of 16 bits counts as white; 4095 for 12-bit data in 16-bit files.

    Returns:
        (H, W), uint8, or float32 on the scale 0 to 255 for 16 bit, whose depth is kept.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is empty, truncated or no image.
    """
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such image; look at data_root and the list that names it") from None
    # older OpenCV fills what a truncated JPEG lacks with grey and says nothing
    truncated = raw.startswith(_JPEG_START) and _JPEG_END not in raw[-1024:]
    img = None if truncated or not raw else cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    if img is None:
        reason = "the file is empty" if not raw else "truncated, damaged, or no image OpenCV can read"
        raise ValueError(f"{path}: {reason} ({len(raw)} bytes): copy it again, or take it out of the list")
    if img.ndim == 3:
        code = {3: cv2.COLOR_BGR2GRAY, 4: cv2.COLOR_BGRA2GRAY}.get(img.shape[2])
        img = img[:, :, 0] if code is None else cv2.cvtColor(img, code)
    if img.dtype == np.uint16:
        if img.max() > max_value:
            raise ValueError(f"{path}: has a pixel of {img.max()}, more than max_value={max_value}")
        if max_value == 65535 and 0 < img.max() < 4096:
            warnings.warn(
                f"{path}: 16 bits, but no pixel above {img.max()}: if the data have 12 bits, say "
                "dict(type='otcxr_mm.LoadCXR', max_value=4095)",
                stacklevel=2,
            )
        return img.astype(np.float32) * np.float32(255 / max_value)
    if img.dtype != np.uint8:
        raise ValueError(f"{path}: pixels of type {img.dtype}; 8 or 16 bit are read")
    return img


@TRANSFORMS.register_module()
class LoadCXR(BaseTransform):
    """Loads `img_path` as one grey channel; `img`, where a packed data set gives it already, is taken as it is.

    Args:
        max_value: What of 16 bits counts as white; 4095 for 12-bit data in 16-bit files. Packed images have 8 bits: it
            counts where they are packed.

    Added keys: `img` (H, W) uint8, or float32 on the scale 0 to 255 for 16 bit; `img_shape`; `ori_shape`.
    """

    def __init__(self, max_value: int = 65535) -> None:
        self.max_value = max_value

    def transform(self, results: dict) -> dict:
        """Reads the image unless it is there; errors name its path."""
        img = results["img"] if "img" in results else read_grey(results["img_path"], self.max_value)
        results["img"] = img
        results["img_shape"] = results["ori_shape"] = img.shape[:2]
        return results
