"""Soft shapes on a float image."""

import math
from collections.abc import Sequence

import cv2
import numpy as np


class Canvas:
    """Float image of `size` x `size` with soft shapes in units of its side."""

    def __init__(self, size: int) -> None:
        self.size = size
        ys, xs = np.mgrid[0:size, 0:size].astype(np.float32)
        self.x, self.y = (xs + 0.5) / size, (ys + 0.5) / size

    def blur(self, image: np.ndarray, sigma: float) -> np.ndarray:
        """Gaussian blur with a sigma in units of the side."""
        return cv2.GaussianBlur(image, (0, 0), max(sigma * self.size, 0.3), borderType=cv2.BORDER_REPLICATE)

    def polygon(self, points: np.ndarray, sigma: float = 0.0) -> np.ndarray:
        """Filled polygon of (n, 2) points, its edge blurred."""
        image = np.zeros((self.size, self.size), np.float32)
        cv2.fillPoly(image, [np.round(points * self.size * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
        return self.blur(image, sigma) if sigma else image

    def line(self, points: np.ndarray, width: float, sigma: float = 0.0) -> np.ndarray:
        """Polyline through (n, 2) points."""
        return self.lines([(points, width, 1.0)], sigma)

    def lines(self, strokes: Sequence[tuple[np.ndarray, float, float]], sigma: float = 0.0) -> np.ndarray:
        """Sum of polylines, blurred together: of each, its points (n, 2), as many as of the others, width and value."""
        points, widths, values = zip(*strokes, strict=True)
        image = np.zeros((self.size, self.size), np.float32)
        pixels = np.round(np.stack(points) * self.size * 16).astype(np.int32)
        thick = [max(1, round(width * self.size)) for width in widths]
        # each is drawn in its bounding box, which is much smaller than the canvas
        margin = np.array(thick)[:, None] + 2
        starts = (pixels.min(1) // 16 - margin).clip(0, self.size).astype(np.int32)
        stops = (pixels.max(1) // 16 + margin + 1).clip(0, self.size)
        pixels -= 16 * starts[:, None]
        for line, value, width, (left, top), (right, bottom) in zip(
            pixels, values, thick, starts.tolist(), stops.tolist(), strict=True
        ):
            if left < right and top < bottom:
                box = np.zeros((bottom - top, right - left), np.float32)
                image[top:bottom, left:right] += cv2.polylines(box, [line], False, value, width, cv2.LINE_AA, 4)
        return self.blur(image, sigma) if sigma else image

    def ellipse(self, x: float, y: float, a: float, b: float, degrees: float = 0.0, edge: float = 0.1) -> np.ndarray:
        """1 inside, 0 outside, with an edge of the given share of the radius."""
        # Python's floats leave the arrays float32
        x, y, c, s = float(x), float(y), math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        u, v = (self.x - x) * c + (self.y - y) * s, -(self.x - x) * s + (self.y - y) * c
        r = np.sqrt((u / a) ** 2 + (v / b) ** 2)
        return np.clip((1 + edge - r) / (2 * edge), 0, 1)

    def noise(self, rng: np.random.Generator, scale: float) -> np.ndarray:
        """Smooth noise of unit standard deviation and the given correlation length."""
        n = max(2, round(1 / scale))
        small = rng.standard_normal((n + 3, n + 3)).astype(np.float32)
        image = cv2.resize(small, (self.size, self.size), interpolation=cv2.INTER_CUBIC)
        return (image - image.mean()) / (image.std() + 1e-6)
