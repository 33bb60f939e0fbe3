"""Heads."""

from .knn_head import KNNHead
from .ot_head import OTHead
from .vicreg_head import VICRegHead

__all__ = ["KNNHead", "OTHead", "VICRegHead"]
