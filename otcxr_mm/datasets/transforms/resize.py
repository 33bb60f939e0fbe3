"""The one rule by which images are resized."""

import cv2
import numpy as np

ENLARGE = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


def resize(img: np.ndarray, height: int, width: int, enlarge: str = "bilinear") -> np.ndarray:
    """Averages areas along the axes that shrink, so that nothing aliases, and interpolates along those that grow.

    Args:
        img: (H, W).
        height: In pixels.
        width: In pixels.
        enlarge: ``'bilinear'`` or ``'bicubic'``.

    Returns:
        (height, width); `img` itself if that is its size.
    """
    size = img.shape[:2]
    # one axis after the other: OpenCV's area mode is blocky along an axis that grows
    shrunk = (min(size[0], height), min(size[1], width))
    if shrunk != size:
        img = cv2.resize(img, shrunk[::-1], interpolation=cv2.INTER_AREA)
    if shrunk != (height, width):
        img = cv2.resize(img, (width, height), interpolation=ENLARGE[enlarge])
    return img
