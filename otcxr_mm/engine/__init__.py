"""Hooks, loops and the bfloat16 wrapper, registered as `otcxr_mm.X`."""

from ..utils import loaders as _loaders  # noqa: F401  init_cfg and load_from load data
from .amp import BFloat16OptimWrapper
from .hooks.audit import LeakAuditHook
from .hooks.checkpoint import AtomicCheckpointHook
from .hooks.compile import CompileHook
from .hooks.consistency import ConsistencyHook
from .hooks.ema import EMATargetHook
from .hooks.export import ExportBackboneHook
from .hooks.finite import FiniteLossHook
from .hooks.load import LoadBackboneHook
from .hooks.manifest import RunManifestHook
from .hooks.overlays import MaskOverlayHook
from .hooks.positive_weight import PositiveWeightHook
from .hooks.probe import OnlineProbeHook
from .hooks.progress import ProgressBarHook
from .hooks.reproducibility import ReproducibilityHook
from .hooks.results import ResultsHook
from .hooks.schedule import AttributeScheduleHook
from .hooks.transport import TransportMonitor
from .loops.linear import LinearEvalLoop
from .loops.train import ResumableTrainLoop
from .loops.val_then_test import ValThenTestLoop
from .strategy import FSDPStrategy

__all__ = [
    "AtomicCheckpointHook",
    "AttributeScheduleHook",
    "BFloat16OptimWrapper",
    "TransportMonitor",
    "CompileHook",
    "ConsistencyHook",
    "EMATargetHook",
    "ExportBackboneHook",
    "FSDPStrategy",
    "FiniteLossHook",
    "LeakAuditHook",
    "LinearEvalLoop",
    "LoadBackboneHook",
    "MaskOverlayHook",
    "OnlineProbeHook",
    "PositiveWeightHook",
    "ProgressBarHook",
    "ReproducibilityHook",
    "ResultsHook",
    "ResumableTrainLoop",
    "RunManifestHook",
    "ValThenTestLoop",
]
