"""OTCXR for the MMPretrain ecosystem: self-supervised pre-training on chest radiographs by optimal transport.

Importing the package imports nothing else; the public names below are loaded at first use.
"""

from __future__ import annotations

from importlib import import_module

from .version import __version__

_PUBLIC = {
    "otcxr_mm.models": (
        "CVSIM",
        "OTCXR",
        "OTHead",
        "CovarianceLoss",
        "CXRDataPreprocessor",
        "KNNHead",
        "MaskedAsymmetricLoss",
        "FCNMaskHead",
        "MaskLoss",
        "MaskSegmentor",
        "MaskedBCELoss",
        "TransportLoss",
        "UPerMaskHead",
        "VICRegHead",
        "VarianceLoss",
    ),
    "otcxr_mm.datasets": (
        "BaseCXRDataset",
        "CSVLabeledCXR",
        "CXRSegmentation",
        "FlipCXR",
        "LoadCXR",
        "MaskedCrop",
        "MedMNISTCXR",
        "NIHChestXray14",
        "PackCXR",
        "PackMasks",
        "PackViews",
        "PackedImages",
        "PhotometricCXR",
        "RSNAPneumonia",
        "SIIMPneumothorax",
        "TwoViewCrop",
        "SyntheticCXR",
        "UnlabeledCXR",
        "VinBigCXR",
        "VinDrCXR",
        "pack_images",
    ),
    "otcxr_mm.backbones": ("export_backbone", "load_backbone", "save_backbone"),
    "otcxr_mm.evaluation": ("MaskMetric", "MultiLabelAUC"),
    "otcxr_mm.engine": (
        "AtomicCheckpointHook",
        "AttributeScheduleHook",
        "BFloat16OptimWrapper",
        "CollapseMonitorHook",
        "EMATargetHook",
        "ExportBackboneHook",
        "FiniteLossHook",
        "LinearEvalLoop",
        "LeakAuditHook",
        "LoadBackboneHook",
        "PositiveWeightHook",
        "MaskOverlayHook",
        "ProgressBarHook",
        "ReproducibilityHook",
        "ResultsHook",
        "ResumableTrainLoop",
        "RunManifestHook",
        "ValThenTestLoop",
    ),
    "otcxr_mm.visualization.tracked": ("TrackedVisualizer",),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = ["__version__", "ops", *sorted(_MODULE_OF)]


def __getattr__(name: str) -> object:
    """Loads a public name at first use (PEP 562)."""
    if name == "ops":
        return import_module("otcxr_mm.ops")
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'otcxr_mm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
