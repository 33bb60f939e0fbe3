"""The algorithm and its parts, registered as `otcxr_mm.X`."""

from .data_preprocessor import CXRDataPreprocessor
from .heads import OTHead, VICRegHead
from .losses import CovarianceLoss, MaskedBCELoss, MaskLoss, TransportLoss, VarianceLoss
from .necks import CVSIM
from .segmentation import FCNMaskHead, MaskSegmentor, UPerMaskHead
from .selfsup import OTCXR

__all__ = [
    "CVSIM",
    "CXRDataPreprocessor",
    "CovarianceLoss",
    "FCNMaskHead",
    "MaskLoss",
    "MaskSegmentor",
    "MaskedBCELoss",
    "OTCXR",
    "OTHead",
    "TransportLoss",
    "UPerMaskHead",
    "VICRegHead",
    "VarianceLoss",
]
