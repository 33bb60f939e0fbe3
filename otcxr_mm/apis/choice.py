"""The inferencer for a run."""

import os

import torch

from .classifier import CXRClassifierInferencer
from .inferencer import CXRInferencer
from .segmentor import CXRSegmentorInferencer
from .trained import read_trained


def inferencer_for(
    source: str | os.PathLike, device: str | torch.device | None = None, max_value: int | None = None
) -> CXRInferencer:
    """The inferencer of a run by its model: of a classifier, or of a segmentation model.

    Args:
        source: Work dir of a run, or one of its checkpoints.
        device: Default: the first GPU, or else the CPU.
        max_value: White level of 16-bit files, instead of that of the training.

    Raises:
        FileNotFoundError: If there are no weights.
        ValueError: If they are not those of such a model.
    """
    trained = read_trained(source, whole=True)
    kind = str(((trained.cfg or {}).get("model") or {}).get("type")).rpartition(".")[2]
    return (CXRSegmentorInferencer if kind == "MaskSegmentor" else CXRClassifierInferencer)(trained, device, max_value)
