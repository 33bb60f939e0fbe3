"""Trained models in Python: features, findings and masks of one's own images."""

from .backbone import CXRBackbone, load_backbone
from .classifier import CXRClassifierInferencer
from .features import CXRFeatureInferencer
from .graphs import export_graph
from .match import match_images
from .segmentor import CXRSegmentorInferencer

__all__ = [
    "CXRBackbone",
    "CXRClassifierInferencer",
    "CXRFeatureInferencer",
    "CXRSegmentorInferencer",
    "export_graph",
    "load_backbone",
    "match_images",
]
