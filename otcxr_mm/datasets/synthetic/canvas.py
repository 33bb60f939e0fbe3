"""Soft shapes on a float image."""

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
        image = np.zeros((self.size, self.size), np.float32)
        pixels = np.round(points * self.size * 16).astype(np.int32)
        cv2.polylines(image, [pixels], False, 1.0, max(1, round(width * self.size)), cv2.LINE_AA, 4)
        return self.blur(image, sigma) if sigma else image

    def ellipse(self, x: float, y: float, a: float, b: float, degrees: float = 0.0, edge: float = 0.1) -> np.ndarray:
        """1 inside, 0 outside, with an edge of the given share of the radius."""
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        u, v = (self.x - x) * c + (self.y - y) * s, -(self.x - x) * s + (self.y - y) * c
        r = np.sqrt((u / a) ** 2 + (v / b) ** 2)
        return np.clip((1 + edge - r) / (2 * edge), 0, 1).astype(np.float32)

    def noise(self, rng: np.random.Generator, scale: float) -> np.ndarray:
        """Smooth noise of unit standard deviation and the given correlation length."""
        n = max(2, round(1 / scale))
        small = rng.standard_normal((n + 3, n + 3)).astype(np.float32)
        image = cv2.resize(small, (self.size, self.size), interpolation=cv2.INTER_CUBIC)
        return (image - image.mean()) / (image.std() + 1e-6)
