"""Metrics."""

from .masks import MaskMetric
from .multilabel_auc import MultiLabelAUC

__all__ = ["MaskMetric", "MultiLabelAUC"]
