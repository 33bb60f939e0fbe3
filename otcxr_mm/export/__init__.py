"""Taking the backbone to other tools."""

from .backbone import data_sha256, load_backbone, save_backbone

__all__ = ["data_sha256", "load_backbone", "save_backbone"]
