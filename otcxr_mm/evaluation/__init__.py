"""Metrics, registered as `otcxr_mm.X`."""

from .metrics import MaskMetric, MultiLabelAUC

__all__ = ["MaskMetric", "MultiLabelAUC"]
