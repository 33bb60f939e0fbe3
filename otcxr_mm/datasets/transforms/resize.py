"""The one rule by which images are resized."""

import cv2
import numpy as np

# up to this factor an image may be shrunk by interpolation: next to nothing aliases
MILD = 1.2


def resize(img: np.ndarray, height: int, width: int, area_from: float = 1.0) -> np.ndarray:
    """Averages areas along the axes that shrink, so that nothing aliases, and interpolates linearly along the others.

    An axis that shrinks by less than the factor `area_from` is interpolated too, which is five times as fast. If the
    image (H, W) has its size already, it is returned itself.
    """
    size = img.shape[:2]
    # one axis after the other: OpenCV's area mode is blocky along an axis that grows
    rows = height if size[0] > height * area_from else size[0]
    columns = width if size[1] > width * area_from else size[1]
    if (rows, columns) != size:
        img = cv2.resize(img, (columns, rows), interpolation=cv2.INTER_AREA)
    if (rows, columns) != (height, width):
        img = cv2.resize(img, (width, height), interpolation=cv2.INTER_LINEAR)
    return img
