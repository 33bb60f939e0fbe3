"""Necks."""

from .cvsim import CVSIM

__all__ = ["CVSIM"]
