"""Heads."""

from .ot_head import OTHead

__all__ = ["OTHead"]
