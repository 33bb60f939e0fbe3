"""A random crop of a radiograph and its masks."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS
from .flip import Pairs, mirrored_order
from .resize import MILD, resize
from .two_view import draw_box


@TRANSFORMS.register_module()
class MaskedCrop(BaseTransform):
    """A random crop, flipped at random, of `img` and `gt_masks` alike; masks stay 0 and 1.

    A pixel of a mask is inside if at least half of it was. For training; at test ``dict(type='Resize', scale=...)``
    resizes the image alone and the masks stay those of the original.

    Changed keys: `img` (H, W), `gt_masks` uint8 (K, H, W), `img_shape`, `flip`, `flip_direction`.

    Args:
        size: Height and width of the result in pixels; or one number for both.
        scale: Range of the crop's area as a share of the image's.
        ratio: Range of the crop's width / height.
        flip: Probability of a horizontal flip.
        flip_pairs: Classes whose masks change places when the image is flipped, such as
            ``[('left_lung', 'right_lung')]``. A data set whose classes have a side refuses a flip without them. A class
            paired with itself keeps its mask.

    Raises:
        ValueError: In the pipeline, if `flip_pairs` names an unknown class, or one class in several pairs.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.5, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        flip_pairs: Pairs = (),
    ) -> None:
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.scale, self.ratio, self.flip = scale, ratio, flip
        self.flip_pairs = tuple(map(tuple, flip_pairs))

    def transform(self, results: dict) -> dict:
        """Crops `img` (H, W) and `gt_masks` (K, H, W), whose names are `mask_classes`."""
        img, masks = results["img"], results["gt_masks"]
        if masks.shape[1:] != img.shape[:2]:
            raise ValueError(
                f"MaskedCrop: the image has the shape {img.shape[:2]}, its masks {masks.shape[1:]}: put MaskedCrop "
                "right after LoadCXR, which brings masks to the image's size"
            )
        x, y, w, h = draw_box(*img.shape[:2], self.scale, self.ratio)
        box = np.s_[y : y + h, x : x + w]
        img = resize(img[box], *self.size, MILD)
        # scaled to 255 so that rounding to 8 bits leaves the half where it is
        masks = [resize(mask[box] * np.uint8(255), *self.size) >= 128 for mask in masks]
        flip = np.random.random() < self.flip
        results["img"] = cv2.flip(img, 1) if flip else np.ascontiguousarray(img)
        masks = np.stack(masks).astype(np.uint8)
        if flip and self.flip_pairs:
            masks = masks[mirrored_order(results["mask_classes"], self.flip_pairs, "MaskedCrop")]
        results["gt_masks"] = np.ascontiguousarray(masks[:, :, ::-1]) if flip else masks
        results["img_shape"] = self.size
        results["flip"], results["flip_direction"] = flip, "horizontal" if flip else None
        return results
