"""Random exposure and sharpness of the views of a radiograph."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS
from .two_view import between

GREY = np.arange(256, dtype=np.float32)


def _clip(img: np.ndarray) -> np.ndarray:
    """Into [0, 255]; for a table three times as fast as np.clip."""
    return np.minimum(np.maximum(img, 0), 255)


def _power(img: np.ndarray, power: float) -> np.ndarray:
    """Grey values to a power, on the scale 0 to 255."""
    return img if power == 1 else 255 * (_clip(img) / 255) ** power


def _blurred(img: np.ndarray, sigma: float) -> np.ndarray:
    if img.dtype != np.uint8:
        return cv2.GaussianBlur(img, (0, 0), sigma) if sigma else img
    if sigma < 0.25:  # the neighbours change less than half a grey level, which rounding takes away
        return img
    # the kernel of cv2.GaussianBlur, whose own way is bit-exact on every machine and takes three times as long
    kernel = cv2.getGaussianKernel(round(6 * sigma + 1) | 1, sigma, cv2.CV_32F)
    return cv2.sepFilter2D(img, cv2.CV_8U, kernel, kernel)


@TRANSFORMS.register_module()
class PhotometricCXR(BaseTransform):
    """Random exposure and sharpness of each view; no hue or saturation, the images are grey.

    Changed key: `img`, one array or a list of them, uint8 (exposed by one look-up table) or float32 on the scale 0 to
    255 (exact). The order is: exposure, blur, solarisation. Each probability is a number, or a sequence of one per
    view.

    Args:
        brightness: Largest shift, as a share of the full range.
        contrast: Largest relative change of the distance from the middle of the range.
        gamma: Largest relative change of the exponent: drawn from [1 / (1 + gamma), 1 + gamma], log-uniformly.
        prob: Probability of these three together.
        blur: Range of the Gaussian blur's sigma in pixels.
        blur_prob: Probability of the blur.
        solarize: Grey value, 0 to 255, from which on values are inverted.
        solarize_prob: Probability of that.
    """

    def __init__(
        self,
        brightness: float = 0.2,
        contrast: float = 0.4,
        gamma: float = 0.3,
        prob: float | Sequence[float] = 0.8,
        blur: Sequence[float] = (0.1, 1.5),
        blur_prob: float | Sequence[float] = 0.3,
        solarize: float = 128,
        solarize_prob: float | Sequence[float] = 0.0,
    ) -> None:
        self.probabilities = {"prob": prob, "blur_prob": blur_prob, "solarize_prob": solarize_prob}
        self.brightness, self.contrast, self.gamma = brightness, contrast, gamma
        self.blur, self.solarize = blur, solarize
        self._solarized = np.where(solarize > GREY, GREY, 255 - GREY).astype(np.uint8)

    def _expose(self, img: np.ndarray) -> np.ndarray:
        """Power, contrast about the middle and shift, of 8 bits by one table."""
        shift = 255 * between(-self.brightness, self.brightness)
        slope = 1 + between(-self.contrast, self.contrast)
        power = (1 + self.gamma) ** between(-1, 1) if self.gamma else 1
        if img.dtype == np.uint8:
            table = _clip((_power(GREY, power) - 127.5) * slope + (127.5 + shift))
            return cv2.LUT(img, np.rint(table).astype(np.uint8))
        img = _power(img, power)
        return _clip(cv2.addWeighted(img, slope, img, 0, 127.5 * (1 - slope) + shift))

    def _hits(self, name: str, view: int) -> bool:
        prob = self.probabilities[name]
        if isinstance(prob, Sequence):
            prob = prob[view]
        return prob > 0 and np.random.random() < prob

    def _one(self, img: np.ndarray, view: int) -> np.ndarray:
        if self._hits("prob", view):
            img = self._expose(img)
        if self._hits("blur_prob", view):
            img = _blurred(img, between(*self.blur))
        if self._hits("solarize_prob", view):
            eight = img.dtype == np.uint8
            img = cv2.LUT(img, self._solarized) if eight else np.where(img < self.solarize, img, 255 - img)
        return img

    def transform(self, results: dict) -> dict:
        """Changes each view (H, W) independently."""
        img = results["img"]
        results["img"] = [self._one(v, i) for i, v in enumerate(img)] if isinstance(img, list) else self._one(img, 0)
        return results
