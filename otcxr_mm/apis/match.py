"""Transport between two radiographs: which region corresponds to which."""

import os
from typing import NamedTuple

import numpy as np
import torch

from ..backbones.preprocessing import preprocessing_of
from ..models import OTCXR
from .images import batches, find_images
from .trained import build_model, read_trained, record_steps


class ImageMatch(NamedTuple):
    """The plan between two images.

    Attributes:
        plan: Transport from the tokens of the first image to those of the second, (N, N).
        grid: Rows and columns (h, w) of the tokens, N = h w.
        images: Both as the network sees them, (H, W) each, on the scale 0 to 255.
    """

    plan: np.ndarray
    grid: tuple[int, int]
    images: tuple[np.ndarray, np.ndarray]


@torch.no_grad()
def match_images(
    source: str | os.PathLike, first: str | os.PathLike, second: str | os.PathLike, prior: bool = True
) -> ImageMatch:
    """Transports the dense tokens of one image to those of another, as pre-training does for two images of a patient.

    Args:
        source: Work dir of a pre-training with :class:`otcxr_mm.OTCXR`, or one of its checkpoints.
        first: Image file.
        second: Image file.
        prior: Whether the plan may also use where in its frame a token lies; False: features alone.

    Raises:
        FileNotFoundError: If there are no weights.
        ValueError: If the weights are not those of such a run, or an image cannot be read.
    """
    trained = read_trained(source, whole=True)
    model = build_model(trained)
    if not isinstance(model, OTCXR):
        raise ValueError(f"{trained.path}: {type(model).__name__} has no transport: name a pre-training with OTCXR")
    record = preprocessing_of(trained.cfg)
    (entries,) = batches(find_images([first, second]), record_steps(record), 2, 0)
    views = [entry.require()[None] for entry in entries]
    # both show their whole image
    frame = torch.eye(2, 3).expand(1, 2, 2, 3)
    feats = [model.backbone(view) for view in model.data_preprocessor({"inputs": views})["inputs"]]
    tokens = model.neck(*feats, view_to_image=frame)
    plan = model.head.transport(*tokens, frame, prior=prior, pairs=True)[1].plan[0]
    n = tokens[0].dense.shape[1]
    return ImageMatch(plan[:n, :n].numpy(), tokens[0].grid, tuple(view[0, 0].float().numpy() for view in views))
