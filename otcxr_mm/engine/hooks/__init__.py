"""Hooks: everything with a schedule, a file or a measurement."""

from .audit import LeakAuditHook
from .checkpoint import AtomicCheckpointHook
from .collapse import CollapseMonitorHook
from .consistency import ConsistencyHook
from .ema import EMATargetHook
from .export import ExportBackboneHook
from .finite import FiniteLossHook
from .load import LoadBackboneHook
from .manifest import RunManifestHook
from .overlays import MaskOverlayHook
from .positive_weight import PositiveWeightHook
from .progress import ProgressBarHook
from .reproducibility import ReproducibilityHook
from .results import ResultsHook
from .schedule import AttributeScheduleHook

__all__ = [
    "AtomicCheckpointHook",
    "AttributeScheduleHook",
    "CollapseMonitorHook",
    "ConsistencyHook",
    "EMATargetHook",
    "ExportBackboneHook",
    "FiniteLossHook",
    "LeakAuditHook",
    "LoadBackboneHook",
    "PositiveWeightHook",
    "MaskOverlayHook",
    "ProgressBarHook",
    "ReproducibilityHook",
    "ResultsHook",
    "RunManifestHook",
]
