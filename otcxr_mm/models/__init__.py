"""The algorithm and its parts, registered as `otcxr_mm.X`."""

from ..utils import loaders as _loaders  # noqa: F401  init_cfg and load_from load data
from .data_preprocessor import CXRDataPreprocessor
from .heads import KNNHead, OTHead, VICRegHead
from .losses import CovarianceLoss, MaskedAsymmetricLoss, MaskedBCELoss, MaskLoss, TransportLoss, VarianceLoss
from .necks import CVSIM
from .segmentation import FCNMaskHead, MaskSegmentor, UPerMaskHead
from .selfsup import OTCXR
from .tokens import Atoms, Tokens

__all__ = [
    "Atoms",
    "CVSIM",
    "CXRDataPreprocessor",
    "CovarianceLoss",
    "KNNHead",
    "MaskedAsymmetricLoss",
    "FCNMaskHead",
    "MaskLoss",
    "MaskSegmentor",
    "MaskedBCELoss",
    "OTCXR",
    "OTHead",
    "Tokens",
    "TransportLoss",
    "UPerMaskHead",
    "VICRegHead",
    "VarianceLoss",
]
