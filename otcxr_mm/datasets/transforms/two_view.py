"""Two viewpoints of one radiograph, with what is known of their geometry."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS

Box = tuple[int, int, int, int]


def _overlap(a: Box, b: Box) -> float:
    """Common area of two boxes (x, y, w, h) as a share of the smaller one."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(w, 0) * max(h, 0) / min(a[2] * a[3], b[2] * b[3])


@TRANSFORMS.register_module()
class TwoViewCrop(BaseTransform):
    """Two random resized crops of an image that overlap, each flipped at random.

    Changed key: `img`, to a list of two arrays. Added key: `view_to_image`, float32 (2, 2, 3): for each viewpoint the
    affine matrix that takes a normalised point of it to the normalised point of the image, see `otcxr_mm.ops`.

    Args:
        size: Side of the viewpoints in pixels.
        scale: Range of the crop's area as a share of the image's.
        ratio: Range of the crop's width / height.
        min_overlap: The second crop is drawn again, ten times at most, until the common area is at least this share of
            the smaller crop; the best one is kept.
        flip: Probability of a horizontal flip. It hides which side is left: 0 where laterality matters.
    """

    def __init__(
        self,
        size: int,
        scale: Sequence[float] = (0.25, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        min_overlap: float = 0.3,
        flip: float = 0.5,
    ) -> None:
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"TwoViewCrop: scale is a range within (0, 1], got {tuple(scale)}")
        if not 0 <= min_overlap <= 1 or not 0 <= flip <= 1:
            raise ValueError(f"TwoViewCrop: min_overlap and flip lie in [0, 1], got {min_overlap} and {flip}")
        self.size, self.scale, self.ratio, self.min_overlap, self.flip = size, scale, ratio, min_overlap, flip

    def _draw(self, height: int, width: int) -> Box:
        for _ in range(10):
            area = height * width * np.random.uniform(*self.scale)
            ratio = math.exp(np.random.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return np.random.randint(0, width - w + 1), np.random.randint(0, height - h + 1), w, h
        # a very long or wide image: its largest centred part within the ratios
        w, h = min(width, round(height * self.ratio[1])), min(height, round(width / self.ratio[0]))
        return (width - w) // 2, (height - h) // 2, w, h

    def _draw_pair(self, height: int, width: int) -> tuple[Box, Box]:
        first = self._draw(height, width)
        best = self._draw(height, width)
        for _ in range(9):
            if _overlap(first, best) >= self.min_overlap:
                break
            best = max(best, self._draw(height, width), key=lambda box: _overlap(first, box))
        return first, best

    def transform(self, results: dict) -> dict:
        """Replaces the image by two viewpoints."""
        img = results["img"]
        height, width = img.shape[:2]
        views, matrices = [], []
        for x, y, w, h in self._draw_pair(height, width):
            shrinks = w > self.size or h > self.size
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            view = cv2.resize(img[y : y + h, x : x + w], (self.size, self.size), interpolation=interpolation)
            matrix = np.array([[w / width, 0, x / width], [0, h / height, y / height]], dtype=np.float32)
            if np.random.rand() < self.flip:
                view = cv2.flip(view, 1)
                matrix[0, 2] += matrix[0, 0]
                matrix[0, 0] *= -1
            views.append(view)
            matrices.append(matrix)
        results["img"] = views
        results["img_shape"] = (self.size, self.size)
        results["view_to_image"] = np.stack(matrices)
        return results


@TRANSFORMS.register_module()
class PhotometricCXR(BaseTransform):
    """Random exposure and sharpness of each viewpoint; no hue or saturation, the images are grey.

    Changed key: `img`, one array or a list of them, uint8 (by look-up table) or float32 on the scale 0 to 255.

    Args:
        brightness: Largest shift, as a share of the full range.
        contrast: Largest relative change around the middle of the range.
        gamma: Largest relative change of the exponent: drawn from [1 / (1 + gamma), 1 + gamma], log-uniformly.
        prob: Probability of these three together.
        blur: Range of the Gaussian blur's sigma in pixels.
        blur_prob: Probability of the blur.
    """

    def __init__(
        self,
        brightness: float = 0.2,
        contrast: float = 0.4,
        gamma: float = 0.3,
        prob: float = 0.8,
        blur: Sequence[float] = (0.1, 1.5),
        blur_prob: float = 0.3,
    ) -> None:
        if min(brightness, contrast, gamma) < 0 or contrast >= 1:
            raise ValueError(
                f"PhotometricCXR: brightness, contrast, gamma >= 0, contrast < 1; got {brightness}, {contrast}, {gamma}"
            )
        self.brightness, self.contrast, self.gamma, self.prob = brightness, contrast, gamma, prob
        self.blur, self.blur_prob = blur, blur_prob

    def _expose(self, img: np.ndarray) -> np.ndarray:
        shift = np.random.uniform(-self.brightness, self.brightness)
        slope = 1 + np.random.uniform(-self.contrast, self.contrast)
        power = (1 + self.gamma) ** np.random.uniform(-1, 1)
        x = np.arange(256, dtype=np.float32) if img.dtype == np.uint8 else img
        y = (np.clip(x / 255, 0, 1) ** power - 0.5) * slope + 0.5 + shift
        y = np.clip(y, 0, 1) * 255
        if img.dtype == np.uint8:
            return cv2.LUT(img, np.round(y).astype(np.uint8))
        return y.astype(np.float32)

    def _one(self, img: np.ndarray) -> np.ndarray:
        if np.random.rand() < self.prob:
            img = self._expose(img)
        if np.random.rand() < self.blur_prob:
            img = cv2.GaussianBlur(img, (0, 0), np.random.uniform(*self.blur))
        return img

    def transform(self, results: dict) -> dict:
        """Changes every viewpoint by itself."""
        img = results["img"]
        results["img"] = [self._one(view) for view in img] if isinstance(img, list) else self._one(img)
        return results
