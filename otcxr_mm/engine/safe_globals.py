"""Lets torch load MMEngine's checkpoints with `weights_only=True`."""

import numpy as np
import torch
from mmengine.logging import HistoryBuffer


def allow_checkpoint_globals() -> None:
    """Names the few harmless types that MMEngine's checkpoints hold besides tensors: log buffers and NumPy scalars.

    MMEngine 0.10.7 does not, and cannot resume on torch >= 2.6. Checkpoints are never loaded unsafely instead.
    """
    if not hasattr(torch.serialization, "add_safe_globals"):  # torch < 2.4
        return
    multiarray = getattr(np, "_core", None) or np.core
    kinds = [getattr(np.dtypes, name) for name in dir(np.dtypes) if name.endswith("DType") and name != "ObjectDType"]
    torch.serialization.add_safe_globals(
        [HistoryBuffer, np.ndarray, np.dtype, multiarray.multiarray.scalar, multiarray.multiarray._reconstruct, *kinds]
    )
