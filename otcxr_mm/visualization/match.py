"""Which region of one radiograph corresponds to which of another, as colours."""

import cv2
import numpy as np

from .panels import grey_panel, tinted

STRENGTH = 0.45  # opacity of the colours


def match_png(first: np.ndarray, second: np.ndarray, plan: np.ndarray, grid: tuple[int, int]) -> bytes:
    """A PNG of both images: a region of the second has the colours of those of the first that it corresponds to.

    The first image is coloured by position. A token of the second gets the mean colour of the tokens that the plan
    matches it with, and is the fainter the less mass it receives.

    Args:
        first: As the network sees it, (H, W) on the scale 0 to 255.
        second: Likewise.
        plan: Transport from the tokens of the first to those of the second, (N, N).
        grid: Rows and columns (h, w) of the tokens, N = h w.
    """
    rows, columns = np.mgrid[0 : grid[0], 0 : grid[1]] + 0.5
    across, down = columns.ravel() / grid[1], rows.ravel() / grid[0]
    colours = 255 * np.stack([1 - down, down * (1 - across), across], 1)  # blue, green, red, as OpenCV has them
    mass = plan.sum(0)
    carried = (plan.T @ colours) / np.maximum(mass, 1e-12)[:, None]
    received = np.minimum(mass / max(mass.mean(), 1e-12), 1)
    return cv2.imencode(
        ".png", np.hstack([_panel(first, colours, np.ones(len(mass)), grid), _panel(second, carried, received, grid)])
    )[1].tobytes()


def _panel(image: np.ndarray, colours: np.ndarray, opacity: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    base = grey_panel(image)
    layers = np.concatenate([colours, opacity[:, None]], 1).reshape(*grid, 4).astype(np.float32)
    layers = cv2.resize(layers, base.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return tinted(base, layers[:, :, :3], STRENGTH * layers[:, :, 3:])
