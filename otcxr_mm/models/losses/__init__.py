"""Losses: configurable modules over the functions of `otcxr_mm.ops`."""

from .mask_loss import MaskLoss
from .masked import MaskedAsymmetricLoss, MaskedBCELoss
from .regularisation import CovarianceLoss, VarianceLoss
from .transport_loss import TransportLoss

__all__ = ["CovarianceLoss", "MaskLoss", "MaskedAsymmetricLoss", "MaskedBCELoss", "TransportLoss", "VarianceLoss"]
