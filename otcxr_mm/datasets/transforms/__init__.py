"""Transforms for radiographs; they go together with MMCV's and MMPretrain's."""

from .formatting import PackCXR, PackViews
from .loading import LoadCXR
from .two_view import PhotometricCXR, TwoViewCrop

__all__ = ["LoadCXR", "PackCXR", "PackViews", "PhotometricCXR", "TwoViewCrop"]
