"""Versions of the libraries that determine what a run computes."""

import platform
import sys

import mmengine
import mmpretrain
import numpy as np
import torch

from ..version import __version__


def versions() -> dict[str, str | None]:
    """Versions of Python, of the libraries that determine what a run computes, and of CUDA."""
    others = {name: getattr(sys.modules.get(name), "__version__", None) for name in ("mmcv", "mmseg", "cv2")}
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "otcxr_mm": __version__,
        "mmpretrain": mmpretrain.__version__,
        "mmengine": mmengine.__version__,
        "torch": str(torch.__version__),
        **{name: version for name, version in others.items() if version is not None},
        "cuda": torch.version.cuda,
        "cudnn": str(torch.backends.cudnn.version()) if torch.cuda.is_available() else None,
    }
