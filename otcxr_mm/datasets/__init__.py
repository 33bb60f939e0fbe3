"""Chest X-ray data sets and their transforms, registered as `otcxr_mm.X`."""

from .base_cxr import BaseCXRDataset, Records
from .nih import NIHChestXray14
from .packed import PackedImages, pack_images
from .synthetic import SyntheticCXR
from .transforms import LoadCXR, PackViews, PhotometricCXR, TwoViewCrop
from .unlabeled import UnlabeledCXR

__all__ = [
    "BaseCXRDataset",
    "LoadCXR",
    "NIHChestXray14",
    "PackViews",
    "PackedImages",
    "PhotometricCXR",
    "Records",
    "SyntheticCXR",
    "TwoViewCrop",
    "UnlabeledCXR",
    "pack_images",
]
