"""Transport plans between two views, compared with the true positions of their tokens."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..models import OTCXR, OTHead
from ..models.tokens import Tokens
from ..ops import geometric_prior, visibility

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEAR = 0.15  # from the true place, in units of the image's sides, a partner is right


@dataclass(frozen=True)
class Matches:
    """Partners in a second view of the tokens of a first one, on the CPU.

    Attributes:
        partner: Index of the token that receives most of the mass, (B, N).
        distance: Distance between token and partner in the original image, in units of its sides, (B, N).
        chance: Share of the second view's tokens within `NEAR` of the token, (B, N).
        seen: Whether the second view shows at least half of the token, (B, N).
        grid: Rows and columns of the tokens.
    """

    partner: Tensor
    distance: Tensor
    chance: Tensor
    seen: Tensor
    grid: tuple[int, int]

    def right(self) -> tuple[float, float]:
        """Share of the seen tokens whose partner lies within `NEAR`, and the same for a partner drawn uniformly."""
        return (self.distance <= NEAR)[self.seen].float().mean().item(), self.chance[self.seen].mean().item()


@torch.no_grad()
def plan_matches(
    model: OTCXR,
    views: tuple[np.ndarray, np.ndarray],
    matrices: Tensor,
    prior: bool = True,
    infused: bool = True,
) -> Matches:
    """Matches the tokens of two views by the plan of a model.

    Args:
        model: The model, which is set to evaluation mode.
        views: Both views of B images, uint8 (B, H, W).
        matrices: `view_to_image` of both views, (B, 2, 2, 3).
        prior: Whether the plan uses the geometry of the crops, as in training; False: features alone.
        infused: Whether the tokens are those after infusion; those before determine the plan in a training with guard.
    """
    model.eval()
    inputs = [torch.from_numpy(np.ascontiguousarray(view))[:, None] for view in views]
    feats = [model.backbone(view) for view in model.data_preprocessor({"inputs": inputs})["inputs"]]
    matrices = matrices.to(feats[0][-1].device)
    tokens = model.neck(*feats, plain=not infused, view_to_image=matrices)
    return match_tokens(model.head, *(t if infused else t.plain for t in tokens), matrices, prior)


@torch.no_grad()
def match_tokens(head: OTHead, source: Tokens, target: Tokens, matrices: Tensor, prior: bool = True) -> Matches:
    """Matches the tokens of two views by the plan of a head; `matrices` and `prior` as in :func:`plan_matches`."""
    _, solution = head.transport(source, target, matrices, prior=prior)
    grid, n = source.grid, source.dense.shape[1]
    partner = solution.plan[:, :n, :n].argmax(2)
    distances = geometric_prior(matrices[:, 0], matrices[:, 1], grid).sqrt()
    distance = distances.gather(2, partner[:, :, None])[:, :, 0]
    seen = visibility(matrices[:, 0], matrices[:, 1], grid) >= 0.5
    chance = (distances <= NEAR).float().mean(2)
    return Matches(*(found.cpu() for found in (partner, distance, chance, seen)), grid)


def draw_matches(axis: "Axes", first: np.ndarray, second: np.ndarray, matches: Matches, k: int, near: float) -> None:
    """Draws both views of pair k side by side, with a line to its partner from each token that both views show.

    Args:
        axis: Where to draw.
        first: First view, (H, W).
        second: Second view, (H, W).
        matches: Matches of the batch.
        k: Index of the pair in the batch.
        near: Distance in the original image up to which a line is green, not red.
    """
    height, width = first.shape
    gap = width // 12
    axis.imshow(np.concatenate([first, np.full((height, gap), 255, first.dtype), second], 1), cmap="gray")
    h, w = matches.grid
    for i in torch.nonzero(matches.seen[k])[:, 0].tolist():
        j = int(matches.partner[k, i])
        xs = ((i % w + 0.5) / w * width, (j % w + 0.5) / w * width + width + gap)
        ys = ((i // w + 0.5) / h * height, (j // w + 0.5) / h * height)
        axis.plot(xs, ys, color="#2ca02c" if matches.distance[k, i] <= near else "#e03131", linewidth=0.9)
    axis.set_axis_off()
