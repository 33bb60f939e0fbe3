"""Chest X-ray data sets and their transforms, registered as `otcxr_mm.X`."""

from .base_cxr import BaseCXRDataset, Records
from .nih import NIHChestXray14
from .transforms import LoadCXR, PackViews, PhotometricCXR, TwoViewCrop
from .unlabeled import UnlabeledCXR

__all__ = [
    "BaseCXRDataset",
    "LoadCXR",
    "NIHChestXray14",
    "PackViews",
    "PhotometricCXR",
    "Records",
    "TwoViewCrop",
    "UnlabeledCXR",
]
