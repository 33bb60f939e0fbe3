"""Loop and optimiser wrapper."""

from .amp import BFloat16OptimWrapper
from .loop import ResumableTrainLoop

__all__ = ["BFloat16OptimWrapper", "ResumableTrainLoop"]
