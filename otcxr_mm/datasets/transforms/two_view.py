"""Two or more viewpoints of one radiograph, with what is known of their geometry."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS
from .resize import INTERPOLATE, MILD, resize

Box = tuple[int, int, int, int]

JITTERS = ("shift", "factor")
GREY = np.arange(256, dtype=np.float32)


def _overlap(a: Box, b: Box) -> float:
    """Common area of two boxes (x, y, w, h) as a share of the smaller one."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(w, 0) * max(h, 0) / min(a[2] * a[3], b[2] * b[3])


def _between(low: float, high: float) -> float:
    """A uniform draw; five times as fast as np.random.uniform."""
    return low + (high - low) * np.random.random()


def _clip(img: np.ndarray) -> np.ndarray:
    """Into [0, 255]; for a table three times as fast as np.clip."""
    return np.minimum(np.maximum(img, 0), 255)


def _power(img: np.ndarray, power: float) -> np.ndarray:
    """Grey values to a power, on the scale 0 to 255."""
    return img if power == 1 else 255 * (_clip(img) / 255) ** power


def _linear(img: np.ndarray, slope: float, offset: float) -> np.ndarray:
    """`slope * img + offset`, clipped; uint8 is rounded."""
    img = cv2.addWeighted(img, slope, img, 0, offset)
    return img if img.dtype == np.uint8 else _clip(img)


def _log_between(low: float, high: float) -> float:
    return math.exp(_between(math.log(low), math.log(high)))


def draw_box(height: int, width: int, scale: Sequence[float], ratio: Sequence[float]) -> Box:
    """A random crop (x, y, w, h) in pixels.

    Args:
        height: Of the image.
        width: Of the image.
        scale: Range of the crop's area as a share of the image's, uniform.
        ratio: Range of its width / height, log-uniform.
    """
    for _ in range(10):
        area = height * width * _between(*scale)
        drawn = _log_between(*ratio)
        w, h = round(math.sqrt(area * drawn)), round(math.sqrt(area / drawn))
        if 0 < w <= width and 0 < h <= height:
            return int(np.random.random() * (width - w + 1)), int(np.random.random() * (height - h + 1)), w, h
    # a very long or wide image: its largest centred part within the ratios
    w, h = min(width, round(height * ratio[1])), min(height, round(width / ratio[0]))
    return (width - w) // 2, (height - h) // 2, w, h


def _blurred(img: np.ndarray, sigma: float) -> np.ndarray:
    if not sigma:
        return img
    if img.dtype != np.uint8:
        return cv2.GaussianBlur(img, (0, 0), sigma)
    if sigma < 0.25:  # the neighbours change less than half a grey level, which rounding takes away
        return img
    # the kernel of cv2.GaussianBlur, whose own way is bit-exact on every machine and takes three times as long
    kernel = cv2.getGaussianKernel(round(6 * sigma + 1) | 1, sigma, cv2.CV_32F)
    return cv2.sepFilter2D(img, cv2.CV_8U, kernel, kernel)


@TRANSFORMS.register_module()
class TwoViewCrop(BaseTransform):
    """Random resized crops of an image that overlap, each turned and flipped at random; two unless told otherwise.

    Changed key: `img`, to a list of V arrays. Added key: `view_to_image`, float32 (V, 2, 3): for each viewpoint the
    affine matrix that takes a normalised point of it to the normalised point of the image, see `otcxr_mm.ops`.

    Args:
        size: Side of the two viewpoints in pixels; or a sequence, one a viewpoint. OTCXR itself takes two of one size.
        scale: Range of the crop's area as a share of the image's; or a sequence of ranges, one a viewpoint.
        ratio: Range of the crop's width / height.
        min_overlap: Each further crop is drawn again, ten times at most, until the area it has in common with the first
            is at least this share of the smaller of the two; the best one is kept. Counted before they are turned.
        flip: Probability of a horizontal flip. It hides which side is left: 0 where laterality matters.
        rotation: Largest angle in degrees, to either side, about the crop's centre. Corners that leave the image repeat
            its border.
        interpolation: ``'bilinear'`` or ``'bicubic'``, the latter not together with a rotation. What is shrunk by more
            than 1.2 is averaged over areas instead.

    Raises:
        ValueError: If an argument is out of its range, or a sequence has not one entry a viewpoint.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] | Sequence[Sequence[float]] = (0.25, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        min_overlap: float = 0.3,
        flip: float = 0.5,
        rotation: float = 0.0,
        interpolation: str = "bilinear",
    ) -> None:
        self.sizes = (size, size) if isinstance(size, int) else tuple(size)
        scales = tuple(scale) if isinstance(scale[0], Sequence) else (scale,) * len(self.sizes)
        if not self.sizes or min(self.sizes) < 1 or len(scales) != len(self.sizes):
            raise ValueError(
                f"TwoViewCrop: size and scale have one entry a viewpoint, size >= 1; got size={size}, scale={scale}"
            )
        for one in scales:
            if not 0 < one[0] <= one[1] <= 1:
                raise ValueError(f"TwoViewCrop: scale is a range within (0, 1], got {tuple(one)}")
        if not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"TwoViewCrop: ratio is a range above 0, got {tuple(ratio)}")
        if not 0 <= min_overlap <= 1 or not 0 <= flip <= 1:
            raise ValueError(f"TwoViewCrop: min_overlap and flip lie in [0, 1], got {min_overlap} and {flip}")
        if not 0 <= rotation <= 180:
            raise ValueError(f"TwoViewCrop: rotation lies in [0, 180] degrees, got {rotation}")
        if interpolation not in INTERPOLATE:
            raise ValueError(f"TwoViewCrop: interpolation is one of {list(INTERPOLATE)}, got {interpolation!r}")
        self.scales, self.min_overlap, self.flip = scales, min_overlap, flip
        self.ratio = ratio
        self.rotation, self.interpolation = rotation, interpolation

    def _draw_all(self, height: int, width: int) -> list[Box]:
        first = draw_box(height, width, self.scales[0], self.ratio)
        boxes = [first]
        for scale in self.scales[1:]:
            best = draw_box(height, width, scale, self.ratio)
            for _ in range(9):
                if _overlap(first, best) >= self.min_overlap:
                    break
                best = max(best, draw_box(height, width, scale, self.ratio), key=lambda box: _overlap(first, box))
            boxes.append(best)
        return boxes

    def _cut(self, img: np.ndarray, box: Box, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The crop at its size, and its matrix."""
        x, y, w, h = box
        height, width = img.shape[:2]
        crop = img[y : y + h, x : x + w]
        view = resize(crop, size, size, self.interpolation, MILD)
        # a crop that has its size already is still a part of the image, which may be read-only
        view = view.copy() if view is crop else view
        return view, np.array([[w / width, 0, x / width], [0, h / height, y / height]])

    def _cut_turned(self, img: np.ndarray, box: Box, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The same with a rotation about the crop's centre, in one warp."""
        x, y, w, h = box
        height, width = img.shape[:2]
        angle = math.radians(_between(-self.rotation, self.rotation))
        cos, sin = math.cos(angle), math.sin(angle)
        # takes a normalised point of the viewpoint to pixels of the image, whose corner is (0, 0)
        pixels = np.array(
            [
                [cos * w, -sin * h, x + (w - cos * w + sin * h) / 2],
                [sin * w, cos * h, y + (h - sin * w - cos * h) / 2],
            ]
        )
        corners = pixels[:, :2] @ [[0, 1, 0, 1], [0, 0, 1, 1]] + pixels[:, 2:]
        # two pixels more than the crop, so that only the image's own border is repeated
        left, top = (max(0, math.floor(low) - 2) for low in corners.min(1))
        right = min(width, math.ceil(corners[0].max()) + 2)
        bottom = min(height, math.ceil(corners[1].max()) + 2)
        patch = img[top:bottom, left:right]
        # a warp does not average: what shrinks is brought to the viewpoint's resolution before
        to = [
            math.ceil(length * size / side) if side > MILD * size else length
            for length, side in ((bottom - top, h), (right - left, w))
        ]
        patch = resize(patch, *to)
        zoom = np.array([[to[1] / (right - left)], [to[0] / (bottom - top)]])
        warp = pixels.copy()
        warp[:, 2] -= left, top
        warp *= zoom
        # from pixel centres to pixel centres
        warp[:, :2] /= size
        warp[:, 2] += warp[:, :2].sum(1) / 2 - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        view = cv2.warpAffine(patch, warp, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return view, pixels / [[width], [height]]

    def transform(self, results: dict) -> dict:
        """Replaces the image by its viewpoints.

        Args:
            results: With `img` (H, W).

        Returns:
            The same dict, changed.
        """
        img = results["img"]
        cut = self._cut_turned if self.rotation else self._cut
        views, matrices = [], np.empty((len(self.sizes), 2, 3), np.float32)
        for i, (box, size) in enumerate(zip(self._draw_all(*img.shape[:2]), self.sizes, strict=True)):
            view, matrix = cut(img, box, size)
            if np.random.random() < self.flip:
                view = cv2.flip(view, 1)
                matrix[:, 2] += matrix[:, 0]
                matrix[:, 0] *= -1
            views.append(view)
            matrices[i] = matrix
        results["img"] = views
        results["img_shape"] = views[0].shape
        results["view_to_image"] = matrices
        return results


@TRANSFORMS.register_module()
class PhotometricCXR(BaseTransform):
    """Random exposure, sharpness and noise of each viewpoint; no hue or saturation, the images are grey.

    Changed key: `img`, one array or a list of them, uint8 (exposed by one look-up table) or float32 on the scale 0 to
    255 (exact). What is done, in this order: exposure, blur, noise, solarisation, erasing. Each probability is a
    number, or a sequence of one a viewpoint.

    Args:
        brightness: Largest shift, as a share of the full range; as a factor: largest relative change.
        contrast: Largest relative change of the distance from the middle of the range; as a factor: from the
            viewpoint's mean.
        gamma: Largest relative change of the exponent: drawn from [1 / (1 + gamma), 1 + gamma], log-uniformly.
        prob: Probability of these three together.
        blur: Range of the Gaussian blur's sigma in pixels.
        blur_prob: Probability of the blur.
        jitter: ``'shift'``; or ``'factor'``: brightness multiplies, contrast is about the viewpoint's mean, in either
            order, as MMPretrain's ColorJitter does.
        noise: Range of the standard deviation of Gaussian noise, as a share of the full range.
        noise_prob: Probability of the noise.
        solarize: Grey value, 0 to 255, from which on values are inverted.
        solarize_prob: Probability of that.
        erase: Range of the area of an erased rectangle as a share of the viewpoint's.
        erase_ratio: Range of its width / height.
        erase_value: What it is filled with, 0 to 255.
        erase_prob: Probability of one.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        brightness: float = 0.2,
        contrast: float = 0.4,
        gamma: float = 0.3,
        prob: float | Sequence[float] = 0.8,
        blur: Sequence[float] = (0.1, 1.5),
        blur_prob: float | Sequence[float] = 0.3,
        jitter: str = "shift",
        noise: Sequence[float] = (0.0, 0.02),
        noise_prob: float | Sequence[float] = 0.0,
        solarize: float = 128,
        solarize_prob: float | Sequence[float] = 0.0,
        erase: Sequence[float] = (0.02, 0.15),
        erase_ratio: Sequence[float] = (0.3, 3.3),
        erase_value: float = 127.5,
        erase_prob: float | Sequence[float] = 0.0,
    ) -> None:
        if min(brightness, contrast, gamma) < 0 or contrast >= 1:
            raise ValueError(
                f"PhotometricCXR: brightness, contrast, gamma >= 0, contrast < 1; got {brightness}, {contrast}, {gamma}"
            )
        if jitter not in JITTERS:
            raise ValueError(f"PhotometricCXR: jitter is one of {list(JITTERS)}, got {jitter!r}")
        ranges = {"blur": (blur, 0, math.inf), "noise": (noise, 0, 1), "erase": (erase, 0, 1)}
        ranges["erase_ratio"] = (erase_ratio, 1e-6, math.inf)
        for name, (given, low, high) in ranges.items():
            if not low <= given[0] <= given[1] <= high:
                raise ValueError(f"PhotometricCXR: {name} is a range within [{low}, {high}], got {tuple(given)}")
        probabilities = {"prob": prob, "blur_prob": blur_prob, "noise_prob": noise_prob}
        probabilities.update(solarize_prob=solarize_prob, erase_prob=erase_prob)
        for name, given in probabilities.items():
            probabilities[name] = tuple(given) if isinstance(given, Sequence) else given
            if not all(0 <= p <= 1 for p in (given if isinstance(given, Sequence) else (given,))):
                raise ValueError(f"PhotometricCXR: {name} lies in [0, 1], got {given}")
        self.brightness, self.contrast, self.gamma, self.jitter = brightness, contrast, gamma, jitter
        self.blur, self.noise, self.solarize = blur, noise, solarize
        self.erase, self.erase_ratio, self.erase_value = erase, erase_ratio, erase_value
        self.probabilities = probabilities
        self._solarized = np.where(solarize > GREY, GREY, 255 - GREY).astype(np.uint8)

    def _shift(self, img: np.ndarray) -> np.ndarray:
        """Power, contrast about the middle and shift, of 8 bits by one table."""
        shift = 255 * _between(-self.brightness, self.brightness)
        slope = 1 + _between(-self.contrast, self.contrast)
        power = self._draw_power()
        if img.dtype == np.uint8:
            table = _clip((_power(GREY, power) - 127.5) * slope + (127.5 + shift))
            return cv2.LUT(img, np.rint(table).astype(np.uint8))
        return _linear(_power(img, power), slope, 127.5 * (1 - slope) + shift)

    def _factor(self, img: np.ndarray) -> np.ndarray:
        """Power, then brightness and contrast as factors; for 8 bits two passes of OpenCV are quicker than a table."""
        bright = max(0.0, 1 + _between(-self.brightness, self.brightness))
        slope = 1 + _between(-self.contrast, self.contrast)
        power = self._draw_power()
        if power != 1:
            eight = img.dtype == np.uint8
            img = cv2.LUT(img, np.rint(_power(GREY, power)).astype(np.uint8)) if eight else _power(img, power)
        bright_first = np.random.random() < 0.5
        if bright_first:
            img = _linear(img, bright, 0)
        img = _linear(img, slope, (1 - slope) * cv2.mean(img)[0])
        return img if bright_first else _linear(img, bright, 0)

    def _draw_power(self) -> float:
        return (1 + self.gamma) ** _between(-1, 1) if self.gamma else 1

    def _add_noise(self, img: np.ndarray) -> np.ndarray:
        noise = np.empty(img.shape, np.float32)
        # OpenCV's generator is four times as fast as NumPy's; its seed is NumPy's draw, so that it can be repeated
        cv2.setRNGSeed(int(np.random.random() * 2**31))
        cv2.randn(noise, 0, 255 * _between(*self.noise))
        if img.dtype == np.uint8:
            return cv2.add(img, noise, dtype=cv2.CV_8U)
        return _clip(img + noise)

    def _erase(self, img: np.ndarray) -> np.ndarray:
        height, width = img.shape
        area, ratio = height * width * _between(*self.erase), _log_between(*self.erase_ratio)
        w, h = min(width, round(math.sqrt(area * ratio))), min(height, round(math.sqrt(area / ratio)))
        x, y = int(np.random.random() * (width - w + 1)), int(np.random.random() * (height - h + 1))
        img = img.copy()
        img[y : y + h, x : x + w] = self.erase_value
        return img

    def _hits(self, name: str, view: int) -> bool:
        prob = self.probabilities[name]
        if type(prob) is tuple:
            if view >= len(prob):
                raise ValueError(f"PhotometricCXR: {name}={prob} has no entry for viewpoint {view}")
            prob = prob[view]
        return prob > 0 and np.random.random() < prob

    def _one(self, img: np.ndarray, view: int) -> np.ndarray:
        if self._hits("prob", view):
            img = self._shift(img) if self.jitter == "shift" else self._factor(img)
        if self._hits("blur_prob", view):
            img = _blurred(img, _between(*self.blur))
        if self._hits("noise_prob", view):
            img = self._add_noise(img)
        if self._hits("solarize_prob", view):
            eight = img.dtype == np.uint8
            img = cv2.LUT(img, self._solarized) if eight else np.where(img < self.solarize, img, 255 - img)
        if self._hits("erase_prob", view):
            img = self._erase(img)
        return img

    def transform(self, results: dict) -> dict:
        """Changes every viewpoint by itself.

        Args:
            results: With `img`, a list of viewpoints (H, W), or one.

        Returns:
            The same dict, changed.
        """
        img = results["img"]
        results["img"] = [self._one(v, i) for i, v in enumerate(img)] if isinstance(img, list) else self._one(img, 0)
        return results
