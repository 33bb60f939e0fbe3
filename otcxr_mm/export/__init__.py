"""Taking the backbone to other tools."""

from .backbone import load_backbone, save_backbone

__all__ = ["load_backbone", "save_backbone"]
