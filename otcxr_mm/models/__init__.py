"""The algorithm and its parts, registered as `otcxr_mm.X`."""

from .data_preprocessor import CXRDataPreprocessor
from .heads import KNNHead, OTHead, VICRegHead
from .losses import CovarianceLoss, MaskedAsymmetricLoss, MaskedBCELoss, TransportLoss, VarianceLoss
from .necks import CVSIM
from .selfsup import OTCXR

__all__ = [
    "CVSIM",
    "CXRDataPreprocessor",
    "CovarianceLoss",
    "KNNHead",
    "MaskedAsymmetricLoss",
    "MaskedBCELoss",
    "OTCXR",
    "OTHead",
    "TransportLoss",
    "VICRegHead",
    "VarianceLoss",
]
