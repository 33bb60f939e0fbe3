"""Hooks, the resumable loop and the bfloat16 wrapper, registered as `otcxr_mm.X`."""

from .hooks import (
    AtomicCheckpointHook,
    AttributeScheduleHook,
    CollapseMonitorHook,
    ConsistencyHook,
    EMATargetHook,
    ExportBackboneHook,
    FiniteLossHook,
    LeakAuditHook,
    LoadBackboneHook,
    MaskOverlayHook,
    PositiveWeightHook,
    ProgressBarHook,
    ReproducibilityHook,
    ResultsHook,
    RunManifestHook,
)
from .loops import BFloat16OptimWrapper, LinearEvalLoop, ResumableTrainLoop, ValThenTestLoop

__all__ = [
    "AtomicCheckpointHook",
    "AttributeScheduleHook",
    "BFloat16OptimWrapper",
    "CollapseMonitorHook",
    "ConsistencyHook",
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
]
