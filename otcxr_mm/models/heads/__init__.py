"""Heads."""

from .ot_head import OTHead
from .vicreg_head import VICRegHead

__all__ = ["OTHead", "VICRegHead"]
