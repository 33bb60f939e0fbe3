"""Loop and optimiser wrapper."""

from .amp import BFloat16OptimWrapper
from .linear import LinearEvalLoop
from .loop import ResumableTrainLoop

__all__ = ["BFloat16OptimWrapper", "LinearEvalLoop", "ResumableTrainLoop"]
