"""Taking the backbone to other tools."""

from .convert import export_backbone
from .weights import load_backbone_weights, save_backbone

__all__ = ["export_backbone", "load_backbone_weights", "save_backbone"]
