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
    ReproducibilityHook,
)
from .runner import BFloat16OptimWrapper, ResumableTrainLoop

__all__ = [
    "AtomicCheckpointHook",
    "AttributeScheduleHook",
    "BFloat16OptimWrapper",
    "CollapseMonitorHook",
    "EMATargetHook",
    "ExportBackboneHook",
    "FiniteLossHook",
    "LeakAuditHook",
    "LoadBackboneHook",
    "ReproducibilityHook",
    "ResumableTrainLoop",
]
