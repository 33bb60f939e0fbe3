"""Taking the backbone to other tools."""

from .backbone import save_backbone

__all__ = ["save_backbone"]
