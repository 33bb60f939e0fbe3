"""Two views of one radiograph, or of two of a patient, and where they were cut out."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS
from .resize import MILD, resize

Box = tuple[float, float, float, float]


def _overlap(a: Box, b: Box) -> float:
    """Common area of two boxes (x, y, w, h) as a share of the smaller one."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(w, 0) * max(h, 0) / min(a[2] * a[3], b[2] * b[3])


def between(low: float, high: float) -> float:
    """A uniform draw; five times as fast as np.random.uniform."""
    return low + (high - low) * np.random.random()


def draw_box(height: int, width: int, scale: Sequence[float], ratio: Sequence[float]) -> Box:
    """A random crop (x, y, w, h) in pixels: its share of the area is uniform, its width / height log-uniform."""
    for _ in range(10):
        area = height * width * between(*scale)
        drawn = math.exp(between(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * drawn)), round(math.sqrt(area / drawn))
        if 0 < w <= width and 0 < h <= height:
            return int(np.random.random() * (width - w + 1)), int(np.random.random() * (height - h + 1)), w, h
    # a very long or wide image: its largest centred part within the ratios
    w, h = min(width, round(height * ratio[1])), min(height, round(width / ratio[0]))
    return (width - w) // 2, (height - h) // 2, w, h


@TRANSFORMS.register_module()
class TwoViewCrop(BaseTransform):
    """Two random resized crops of an image that overlap, each turned and flipped at random.

    If the data set adds another image of the patient as `other` (its argument `pairs`), the second view is cut from
    that one. The two then share no geometry, only the frame: where a chest lies in a radiograph.

    Changed key: `img`, to a list of two arrays. Added keys: `view_to_image`, float32 (2, 2, 3): for each view, the
    affine matrix that maps a normalised point of it to the normalised point of its image, see `otcxr_mm.ops`; `paired`:
    whether the views are from two images.

    Args:
        size: Side of the views in pixels.
        scale: Range of the crop's area as a share of the image's.
        ratio: Range of the crop's width / height.
        min_overlap: The second crop is drawn again, ten times at most, until the area it has in common with the first
            is at least this share of the smaller of the two, before they are turned; the best one is kept.
        flip: Probability of a horizontal flip. It hides which side is left: 0 where laterality matters.
        rotation: Largest angle in degrees, in either direction, about the crop's centre. Corners outside the image
            repeat its border.
    """

    def __init__(
        self,
        size: int,
        scale: Sequence[float] = (0.25, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        min_overlap: float = 0.3,
        flip: float = 0.5,
        rotation: float = 0.0,
    ) -> None:
        self.size, self.scale, self.ratio = size, scale, ratio
        self.min_overlap, self.flip, self.rotation = min_overlap, flip, rotation

    def draw_boxes(self, shape: tuple[int, int], other: tuple[int, int]) -> tuple[Box, Box]:
        """Both crops, of an image of (height, width) pixels and of the same or another one."""

        def common(box: Box) -> float:
            # in the frame of the first image
            x, y, w, h = box
            across, down = shape[1] / other[1], shape[0] / other[0]
            return _overlap(first, (x * across, y * down, w * across, h * down))

        first, best = (draw_box(*size, self.scale, self.ratio) for size in (shape, other))
        for _ in range(9):
            if common(best) >= self.min_overlap:
                break
            best = max(best, draw_box(*other, self.scale, self.ratio), key=common)
        return first, best

    def transform(self, results: dict) -> dict:
        """Replaces `img` (H, W) by its views, or one of it and one of the patient's other image."""
        other = results.pop("other", None)
        images = [results["img"], (results if other is None else other)["img"]]
        cut = self._cut_turned if self.rotation else self._cut
        views, matrices = [], np.empty((2, 2, 3), np.float32)
        boxes = self.draw_boxes(*(img.shape[:2] for img in images))
        for i, (img, box) in enumerate(zip(images, boxes, strict=True)):
            view, matrix = cut(img, box)
            if np.random.random() < self.flip:
                view = cv2.flip(view, 1)
                matrix[:, 2] += matrix[:, 0]
                matrix[:, 0] *= -1
            views.append(view)
            matrices[i] = matrix
        results["img"] = views
        results["img_shape"] = views[0].shape
        results["view_to_image"], results["paired"] = matrices, other is not None
        return results

    def _cut(self, img: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """The crop at its size, and its matrix."""
        x, y, w, h = box
        height, width = img.shape[:2]
        crop = img[y : y + h, x : x + w]
        view = resize(crop, self.size, self.size, MILD)
        # a crop that has its size already is still a part of the image, which may be read-only
        view = view.copy() if view is crop else view
        return view, np.array([[w / width, 0, x / width], [0, h / height, y / height]])

    def _cut_turned(self, img: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """The same, turned about the crop's centre."""
        x, y, w, h = box
        height, width = img.shape[:2]
        angle = math.radians(between(-self.rotation, self.rotation))
        cos, sin = math.cos(angle), math.sin(angle)
        # maps a normalised point of the view to pixels of the image, whose corner is (0, 0)
        pixels = np.array(
            [
                [cos * w, -sin * h, x + (w - cos * w + sin * h) / 2],
                [sin * w, cos * h, y + (h - sin * w - cos * h) / 2],
            ]
        )
        # a warp does not average: an image that shrinks is brought to the view's resolution first
        to = [
            math.ceil(n * self.size / side) if side > MILD * self.size else n for n, side in ((height, h), (width, w))
        ]
        small = resize(img, *to)
        warp = pixels * [[to[1] / width], [to[0] / height]]
        # from pixel centres to pixel centres
        warp[:, :2] /= self.size
        warp[:, 2] += warp[:, :2].sum(1) / 2 - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        view = cv2.warpAffine(small, warp, (self.size, self.size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return view, pixels / [[width], [height]]
