"""Transport plans between two viewpoints, judged by where the tokens really lie."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..models import OTCXR
from ..ops import geometric_prior, visibility


@dataclass(frozen=True)
class Matches:
    """Partners of the tokens of a first viewpoint in a second one.

    Attributes:
        partner: (B, N): index of the token that gets most of the mass.
        distance: (B, N): between token and partner in the original image, in units of its side.
        seen: (B, N): whether the second viewpoint shows at least half of the token.
        grid: Rows and columns of the tokens.
    """

    partner: Tensor
    distance: Tensor
    seen: Tensor
    grid: tuple[int, int]


@torch.no_grad()
def plan_matches(model: OTCXR, views: tuple[np.ndarray, np.ndarray], matrices: Tensor, prior: bool = True) -> Matches:
    """The partners that a model's plan gives.

    Args:
        model: Is set to evaluation mode.
        views: Both viewpoints of B images, (B, H, W), uint8.
        matrices: `view_to_image` of both, (B, 2, 2, 3).
        prior: Whether the known geometry of the crops enters the plan's cost, as in training; else features alone.

    Returns:
        The matches.
    """
    model.eval()
    inputs = [torch.from_numpy(np.ascontiguousarray(view))[:, None] for view in views]
    feats = [model.backbone(view) for view in model.data_preprocessor({"inputs": inputs})["inputs"]]
    grid = model.neck.grid(feats[0])
    n, loss = grid[0] * grid[1], model.head.loss_ot
    weight = loss.prior_weight
    loss.prior_weight = weight if prior else 0.0
    try:
        plan = model.head.transport(*model.neck(*feats), (matrices, grid)).plan[:, :n, :n]
    finally:
        loss.prior_weight = weight
    partner = plan.argmax(2)
    squared = geometric_prior(matrices[:, 0], matrices[:, 1], grid)
    distance = squared.gather(2, partner[:, :, None])[:, :, 0].sqrt()
    return Matches(partner, distance, visibility(matrices[:, 0], matrices[:, 1], grid) >= 0.5, grid)


def draw_matches(axis: object, first: np.ndarray, second: np.ndarray, matches: Matches, k: int, near: float) -> None:
    """Draws pair k: both viewpoints side by side, a line from each token that both show to its partner.

    Args:
        axis: Of matplotlib.
        first: (H, W).
        second: (H, W).
        matches: Of the batch.
        k: Index in the batch.
        near: Partners within this distance in the original image are green, others red.
    """
    height, width = first.shape
    gap = width // 12
    axis.imshow(np.concatenate([first, np.full((height, gap), 255, first.dtype), second], 1), cmap="gray")
    h, w = matches.grid
    for i in torch.nonzero(matches.seen[k])[:, 0].tolist():
        j = int(matches.partner[k, i])
        xs = ((i % w + 0.5) / w * width, (j % w + 0.5) / w * width + width + gap)
        ys = ((i // w + 0.5) / h * height, (j // w + 0.5) / h * height)
        right = bool(matches.distance[k, i] <= near)
        axis.plot(xs, ys, color="#2ca02c" if right else "#e03131", linewidth=0.9, alpha=0.9)
    axis.set_axis_off()
