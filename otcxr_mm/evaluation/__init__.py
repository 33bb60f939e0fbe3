"""Metrics, registered as `otcxr_mm.X`."""

from .metrics import MultiLabelAUC

__all__ = ["MultiLabelAUC"]
