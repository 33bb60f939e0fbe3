"""Reading a radiograph from disk."""

import io
import os
from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS
from .dicom import is_dicom, read_dicom
from .errors import MAX_BYTES, MAX_PIXELS, BrokenImageError, MissingImageError, white_of

_PNG, _JPEG_START, _JPEG_END = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd9"
_TILE_WIDTH, _TILE_HEIGHT = 322, 323  # tags of TIFF
JSRT_SIDE, JSRT_WHITE = 2048, 4095


def read_grey(path: str, max_value: int | None = None) -> np.ndarray:
    """Reads a DICOM, PNG, JPEG, TIFF or BMP as one grey channel; the content tells the type, not the name.

    Colours are reduced to luminance, transparency is ignored. DICOM: see :func:`.dicom.read_dicom`; JSRT's `.IMG`,
    which has no header: :func:`read_jsrt`. `max_value` is that of :class:`LoadCXR`.

    Returns:
        (H, W), uint8, or float32 on the scale 0 to 255 for 16 bits, whose depth is kept.

    Raises:
        MissingImageError: (a FileNotFoundError) If there is no such file.
        BrokenImageError: (a ValueError) If the file cannot be read, is empty, truncated, too large or not an image.
        WhiteError: (a ValueError) If `max_value` does not fit an image of 16 bits.
        ImportError: If it is DICOM and pydicom is missing.
    """
    if not os.path.isfile(path):  # reading a pipe would wait for ever
        raise MissingImageError(f"{path}: no such image file; check the path, or data_root and the list that names it")
    if (size := os.path.getsize(path)) > MAX_BYTES:
        raise BrokenImageError(f"{path}: {size:,} bytes, more than any image of {MAX_PIXELS:,} pixels takes")
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise BrokenImageError(f"{path}: cannot be read ({error.strerror})") from None
    if is_dicom(str(path), raw):
        return read_dicom(str(path), raw, max_value)
    if str(path).lower().endswith(".img"):
        return read_jsrt(str(path), raw)
    pixels = _pixels_of(raw)
    if pixels > MAX_PIXELS:
        raise BrokenImageError(f"{path}: more than {MAX_PIXELS:,} pixels: shrink it, or take it out of the list")
    # older OpenCV fills what a truncated JPEG lacks with grey and says nothing
    truncated = raw.startswith(_JPEG_START) and _JPEG_END not in raw[-1024:]
    try:
        img = None if truncated or not pixels else cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        img = None
    if img is None:
        reason = "the file is empty" if not raw else "truncated, damaged, or not a PNG, JPEG, TIFF or BMP"
        raise BrokenImageError(f"{path}: {reason} ({len(raw)} bytes): copy it again, or take it out of the list")
    if img.ndim == 3:
        code = {3: cv2.COLOR_BGR2GRAY, 4: cv2.COLOR_BGRA2GRAY}.get(img.shape[2])
        img = img[:, :, 0] if code is None else cv2.cvtColor(img, code)
    if img.dtype == np.uint16:
        return img.astype(np.float32) * np.float32(255 / white_of(path, int(img.max()), max_value))
    if img.dtype != np.uint8:
        raise BrokenImageError(f"{path}: pixels of type {img.dtype}; only 8 and 16 bits can be read")
    return img


def read_jsrt(path: str, raw: bytes) -> np.ndarray:
    """Pixels of an `.IMG` of JSRT: 2048 x 2048 big-endian values of 12 bits, in which 0 is white.

    Returns:
        (2048, 2048), float32 on the scale 0 to 255, with the bones brighter than the lungs as in all other sets.

    Raises:
        BrokenImageError: If it has another size, or a value of more than 12 bits.
    """
    if len(raw) != 2 * JSRT_SIDE**2:
        raise BrokenImageError(
            f"{path}: {len(raw):,} bytes, but an .IMG of JSRT has {2 * JSRT_SIDE**2:,}: copy it again, or take it out "
            "of the list"
        )
    values = np.frombuffer(raw, ">u2").reshape(JSRT_SIDE, JSRT_SIDE)
    if values.max() > JSRT_WHITE:
        raise BrokenImageError(
            f"{path}: a value of {values.max()}, but an .IMG of JSRT has 12 bits, at most {JSRT_WHITE}"
        )
    return (JSRT_WHITE - values).astype(np.float32) * np.float32(255 / JSRT_WHITE)


def _pixels_of(raw: bytes) -> float:
    """Width x height of an image, or of its tiles if they are larger; 0 if it is of no type that is read.

    It is what the header says; nothing is decoded.
    """
    from PIL import Image

    if raw.startswith(_PNG) and raw[12:16] == b"IHDR":  # Pillow reads the text in a PNG, too, which may be damaged
        return int.from_bytes(raw[16:20], "big") * int.from_bytes(raw[20:24], "big")
    try:
        with Image.open(io.BytesIO(raw), formats=("JPEG", "TIFF", "BMP")) as header:
            tags = getattr(header, "tag_v2", {})
            return max(header.width * header.height, tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_HEIGHT, 0))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return float("inf")
    except Exception:  # Pillow raises anything at damaged headers
        return 0


def fit_masks(masks: np.ndarray, shape: tuple[int, int], path: str) -> np.ndarray:
    """Masks (C, H, W) at the size of their image, which may have been resized since they were drawn.

    It is an error if the ratios of the sides differ by more than a pixel of the smaller.
    """
    height, width = masks.shape[1:]
    if (height, width) == tuple(shape):
        return masks
    scale = (shape[0] * width + shape[1] * height) / (2 * height * width)
    if max(abs(height * scale - shape[0]), abs(width * scale - shape[1])) > max(1.0, scale):
        raise BrokenImageError(
            f"{path}: the image has {shape[1]} x {shape[0]} pixels and its masks {width} x {height}: they do not show "
            "the same area"
        )
    resized = [cv2.resize(mask, tuple(shape)[::-1], interpolation=cv2.INTER_NEAREST_EXACT) for mask in masks]
    return np.stack(resized)


@TRANSFORMS.register_module()
class LoadCXR(BaseTransform):
    """Loads `img_path` as one grey channel; if a packed data set already gives `img`, it is taken as it is.

    If there is another image of the patient under `other`, that is loaded, too.

    If there are `gt_masks` of another size, they are resized to that of the image.

    Args:
        max_value: White level of 16-bit files; 4095 for 12-bit data in them. None: 65535, and an image whose brightest
            pixel is from 256 to 4095 is an error. For packed images, it counts when they are packed.

    Raises:
        BrokenImageError: In the pipeline, if the file cannot be read or its masks do not show the same area; names its
            path.
        WhiteError: In the pipeline, if `max_value` does not fit the image; names its path.

    Added keys: `img` (H, W) uint8, or float32 on the scale 0 to 255 for 16 bit; `img_shape`; `ori_shape`.
    """

    def __init__(self, max_value: int | None = None) -> None:
        self.max_value = max_value

    def transform(self, results: dict) -> dict:
        """Reads the file `img_path`, unless `img` (H, W) is given."""
        if "img" not in results:
            results["img"] = read_grey(results["img_path"], self.max_value)
        other = results.get("other")
        if other is not None and "img" not in other:
            try:
                other["img"] = read_grey(other["img_path"], self.max_value)
            except BrokenImageError as error:
                error.sample_idx = other["sample_idx"]
                raise
        shape = results["img"].shape[:2]
        results["img_shape"] = results["ori_shape"] = shape
        if "gt_masks" in results:
            results["gt_masks"] = fit_masks(results["gt_masks"], shape, results.get("img_path", "img"))
        return results
