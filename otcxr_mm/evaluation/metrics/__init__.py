"""Metrics."""

from .multilabel_auc import MultiLabelAUC

__all__ = ["MultiLabelAUC"]
