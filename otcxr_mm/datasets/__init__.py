"""Chest X-ray data sets and their transforms, registered as `otcxr_mm.X`."""

from .base_cxr import BaseCXRDataset
from .csv_labeled import CSVLabeledCXR
from .medmnist import MedMNISTCXR
from .nih import NIHChestXray14
from .packed import PackedImages, pack_images
from .records import Records
from .rsna import RSNAPneumonia
from .segmentation import CXRSegmentation
from .siim import SIIMPneumothorax
from .splits import write_selection
from .synthetic import SyntheticCXR
from .transforms import FlipCXR, LoadCXR, MaskedCrop, PackCXR, PackMasks, PackViews, PhotometricCXR, TwoViewCrop
from .unlabeled import UnlabeledCXR
from .vinbig import VinBigCXR, VinDrCXR

__all__ = [
    "BaseCXRDataset",
    "CSVLabeledCXR",
    "CXRSegmentation",
    "FlipCXR",
    "LoadCXR",
    "MaskedCrop",
    "MedMNISTCXR",
    "NIHChestXray14",
    "PackCXR",
    "PackMasks",
    "PackViews",
    "PackedImages",
    "PhotometricCXR",
    "RSNAPneumonia",
    "Records",
    "SIIMPneumothorax",
    "SyntheticCXR",
    "TwoViewCrop",
    "UnlabeledCXR",
    "VinBigCXR",
    "VinDrCXR",
    "pack_images",
    "write_selection",
]
