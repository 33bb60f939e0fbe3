"""Chest X-ray data sets and their transforms, registered as `otcxr_mm.X`."""

from .base import BaseCXRDataset
from .collections.candid import CandidPTX
from .collections.chexpert import BRAX, CheXpert
from .collections.jsrt import JSRT
from .collections.medmnist import MedMNISTCXR
from .collections.mimic import MIMICCXR
from .collections.nih import NIHChestXray14
from .collections.padchest import PadChest
from .collections.rsna import RSNAPneumonia
from .collections.siim import SIIMPneumothorax
from .collections.tuberculosis import TuberculosisCXR
from .collections.vinbig import VinBigCXR, VinDrCXR
from .own.folder import UnlabeledCXR
from .own.masks import CXRSegmentation
from .own.table import CSVLabeledCXR
from .packed import PackedImages
from .packing import pack_images
from .pairs import PatientPairs
from .records import Records
from .synthetic import SyntheticCXR
from .transforms import FlipCXR, LoadCXR, MaskedCrop, PackCXR, PackMasks, PackViews, PhotometricCXR, TwoViewCrop

__all__ = [
    "BRAX",
    "JSRT",
    "BaseCXRDataset",
    "CSVLabeledCXR",
    "CXRSegmentation",
    "CandidPTX",
    "CheXpert",
    "FlipCXR",
    "LoadCXR",
    "MIMICCXR",
    "MaskedCrop",
    "MedMNISTCXR",
    "NIHChestXray14",
    "PackCXR",
    "PackMasks",
    "PackViews",
    "PackedImages",
    "PadChest",
    "PatientPairs",
    "PhotometricCXR",
    "RSNAPneumonia",
    "Records",
    "SIIMPneumothorax",
    "SyntheticCXR",
    "TuberculosisCXR",
    "TwoViewCrop",
    "UnlabeledCXR",
    "VinBigCXR",
    "VinDrCXR",
    "pack_images",
]
