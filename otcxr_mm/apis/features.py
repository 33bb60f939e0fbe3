"""Features of radiographs."""

import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .backbone import backbone_from
from .images import Prepared
from .inferencer import CXRInferencer, Unread
from .trained import Trained, read_trained


class CXRFeatureInferencer(CXRInferencer):
    """Features of a backbone, averaged over space; files that cannot be read are named and left out.

    ::

        inferencer = otcxr_mm.CXRFeatureInferencer("work_dirs/otcxr_r50_nih")
        inferencer("images/", batch_size=64, workers=4)  # [{'path': ..., 'feature': (2048,)}, ...]

    Attributes:
        model: The :class:`otcxr_mm.CXRBackbone`.

    Args:
        source: See :func:`otcxr_mm.load_backbone`.
        device: Default: the first GPU, or else the CPU.
        max_value: White level of 16-bit files, instead of that of the training.
        size: Side in pixels to resize images to, instead of that of the training.
    """

    def __init__(
        self,
        source: str | os.PathLike | Trained,
        device: str | torch.device | None = None,
        max_value: int | None = None,
        size: int | None = None,
    ) -> None:
        self.trained = read_trained(source)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = backbone_from(self.trained, size, max_value).to(self.device).eval()
        self.config, self.visualizer, self.pipeline = self.trained.cfg, None, self.model.steps

    def __call__(self, inputs: object, batch_size: int = 32, workers: int = 0) -> list:
        """Features of images, as :meth:`otcxr_mm.CXRBackbone.embed` computes them.

        Args:
            inputs: A file, folder, pattern, array or sequence of these, see :func:`.images.find_images`.
            batch_size: Images that are read together, and on a GPU computed together.
            workers: Processes that read; 0 reads in this one.

        Returns:
            One dictionary per image, in the order given: `path`, and `feature` (D,) or `error`.
        """
        return super().__call__(inputs, batch_size=batch_size, workers=workers)

    def forward(self, inputs: Sequence[Prepared]) -> list[Tensor | Unread]:
        """Features of a batch in its order."""
        rows = self.model.features(inputs)
        return [Unread(entry.reason) if row is None else row for entry, row in zip(inputs, rows, strict=True)]

    def row(self, result: Tensor) -> np.ndarray:
        """Features, (D,)."""
        return result.numpy()

    def describe(self, result: Tensor) -> dict:
        """Features by name."""
        return {"feature": self.row(result)}
