"""Algorithms."""

from .otcxr import OTCXR

__all__ = ["OTCXR"]
