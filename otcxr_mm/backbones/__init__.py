"""Taking the backbone to other tools."""

from .convert import export_backbone
from .hub import export_folder
from .weights import load_backbone_weights, save_backbone

__all__ = ["export_backbone", "export_folder", "load_backbone_weights", "save_backbone"]
