"""Losses: configurable modules over the functions of `otcxr_mm.ops`."""

from .mask_loss import MaskLoss
from .masked_asymmetric import MaskedAsymmetricLoss
from .masked_bce import MaskedBCELoss
from .regularisation import CovarianceLoss, VarianceLoss
from .transport_loss import TransportLoss

__all__ = ["CovarianceLoss", "MaskLoss", "MaskedAsymmetricLoss", "MaskedBCELoss", "TransportLoss", "VarianceLoss"]
