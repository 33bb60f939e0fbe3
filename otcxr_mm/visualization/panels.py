"""Colours laid over a radiograph, in panels of one height."""

import cv2
import numpy as np

SIDE = 384  # height of a panel in pixels


def grey_panel(image: np.ndarray) -> np.ndarray:
    """An image (H, W) on the scale 0 to 255 at the height of a panel, uint8 (SIDE, w, 3)."""
    size = (max(1, round(SIDE * image.shape[1] / image.shape[0])), SIDE)
    grey = cv2.resize(np.clip(np.rint(image), 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def tinted(panel: np.ndarray, colours: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """A panel with colours (SIDE, w, 3) over it, where `opacity` (SIDE, w, 1) from 0 to 1 says how much."""
    return np.rint(panel * (1 - opacity) + colours * opacity).astype(np.uint8)
