"""Versions of the libraries that determine what a run computes."""

import mmengine
import mmpretrain
import torch

from ..version import __version__


def versions() -> dict[str, str]:
    """Versions of the libraries that decide what a run computes."""
    return {
        "otcxr_mm": __version__,
        "mmpretrain": mmpretrain.__version__,
        "mmengine": mmengine.__version__,
        "torch": str(torch.__version__),
    }
