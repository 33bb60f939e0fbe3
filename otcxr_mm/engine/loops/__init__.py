"""Loops and optimiser wrapper."""

from ..amp import BFloat16OptimWrapper
from .linear import LinearEvalLoop
from .train import ResumableTrainLoop
from .val_then_test import ValThenTestLoop

__all__ = ["BFloat16OptimWrapper", "LinearEvalLoop", "ResumableTrainLoop", "ValThenTestLoop"]
