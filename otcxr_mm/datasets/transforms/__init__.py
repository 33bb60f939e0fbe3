"""Transforms for radiographs; they go together with MMCV's and MMPretrain's."""

from .flip import FlipCXR
from .formatting import PackCXR, PackMasks, PackViews
from .loading import LoadCXR
from .masked_crop import MaskedCrop
from .photometric import PhotometricCXR
from .two_view import TwoViewCrop

__all__ = ["FlipCXR", "LoadCXR", "MaskedCrop", "PackCXR", "PackMasks", "PackViews", "PhotometricCXR", "TwoViewCrop"]
