"""Contours of masks on a radiograph, at its own size."""

from collections.abc import Mapping

import cv2
import numpy as np

# BGR; told apart with red-green blindness, too (Okabe and Ito)
COLOURS = ((233, 180, 86), (0, 159, 230), (115, 158, 0), (167, 121, 204), (66, 228, 240), (0, 94, 213), (178, 114, 0))


def contours_png(image: np.ndarray, masks: Mapping[str, np.ndarray]) -> bytes:
    """A PNG of a radiograph with the contours of its masks, and their names in the same colours.

    Args:
        image: (H, W) on the scale 0 to 255.
        masks: (H, W) bool, by name.
    """
    picture = cv2.cvtColor(np.rint(image).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    width = max(1, round(min(picture.shape[:2]) / 250))
    for number, (name, mask) in enumerate(masks.items()):
        colour = COLOURS[number % len(COLOURS)]
        found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, found, -1, colour, width)
        place = (4 * width, (number + 1) * 14 * width)
        cv2.putText(picture, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45 * width, colour, width, cv2.LINE_AA)
    return cv2.imencode(".png", picture)[1].tobytes()
