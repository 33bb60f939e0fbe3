"""The algorithm and its parts, registered as `otcxr_mm.X`."""

from .data_preprocessor import CXRDataPreprocessor
from .heads import OTHead, VICRegHead
from .losses import CovarianceLoss, MaskedBCELoss, TransportLoss, VarianceLoss
from .necks import CVSIM
from .selfsup import OTCXR

__all__ = [
    "CVSIM",
    "CXRDataPreprocessor",
    "CovarianceLoss",
    "MaskedBCELoss",
    "OTCXR",
    "OTHead",
    "TransportLoss",
    "VICRegHead",
    "VarianceLoss",
]
