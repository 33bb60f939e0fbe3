"""Taking the backbone to other tools."""

from .backbone import data_sha256, load_backbone, save_backbone
from .convert import export_backbone

__all__ = ["data_sha256", "export_backbone", "load_backbone", "save_backbone"]
