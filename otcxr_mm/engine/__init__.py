"""Hooks, the resumable loop and the bfloat16 wrapper, registered as `otcxr_mm.X`."""

from .hooks import (
    AtomicCheckpointHook,
    AttributeScheduleHook,
    CollapseMonitorHook,
    EMATargetHook,
    ExportBackboneHook,
    FiniteLossHook,
    LeakAuditHook,
    LoadBackboneHook,
    MaskOverlayHook,
    ProgressBarHook,
    ReproducibilityHook,
)
from .runner import BFloat16OptimWrapper, LinearEvalLoop, ResumableTrainLoop

__all__ = [
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
    "MaskOverlayHook",
    "ProgressBarHook",
    "ReproducibilityHook",
    "ResumableTrainLoop",
]
