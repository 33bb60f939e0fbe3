"""Losses: configurable modules over the functions of `otcxr_mm.ops`."""

from .regularisation import CovarianceLoss, VarianceLoss
from .transport_loss import TransportLoss

__all__ = ["CovarianceLoss", "TransportLoss", "VarianceLoss"]
