"""How well dense features find the same place of the patient in another view."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .geometry import cell_centres, to_image, to_view
from .precision import full_precision


@dataclass(frozen=True)
class Correspondence:
    """Counts over the tokens whose place the other view shows, each (B,); divide sums by sums.

    Attributes:
        correct: Tokens whose nearest neighbour in feature space lies within one cell of the true place.
        index: The same with the token of the same index instead of the nearest neighbour.
        chance: Expected number with a token drawn uniformly.
        tokens: Number of tokens counted.
    """

    correct: Tensor
    index: Tensor
    chance: Tensor
    tokens: Tensor


@full_precision
def correspondence(x: Tensor, y: Tensor, view_to_image: Tensor, other: Tensor, grid: tuple[int, int]) -> Correspondence:
    """Judges the nearest neighbours of a view's tokens in another view by the known geometry.

    A neighbour is correct if its centre lies within one cell, in rows and in columns, of the true place of the token's
    centre in the other view. Tokens whose centre the other view does not show are left out. Compare the result with
    `index`, with `chance` and with the same backbone before training.

    Args:
        x: Features of the view, (B, h w, D).
        y: Features of the other view, (B, h w, D).
        view_to_image: The view, (B, 2, 3).
        other: The other view, (B, 2, 3).
        grid: Rows and columns (h, w) of the tokens.

    Returns:
        Counts.
    """
    h, w = grid
    cells = cell_centres(h, w, view_to_image)
    place, seen = to_view(other, to_image(view_to_image, cells))
    size = torch.tensor([w, h], dtype=cells.dtype, device=cells.device)
    # with identical views the distance is exactly one cell: the margin keeps rounding from deciding
    near = ((place[:, :, None] - cells).abs() * size <= 1 + 1e-4).all(-1)
    neighbour = (normalize(x, dim=-1) @ normalize(y, dim=-1).transpose(1, 2)).argmax(2)
    correct = near.gather(2, neighbour[:, :, None])[:, :, 0]
    index = near.diagonal(dim1=1, dim2=2)
    chance = near.to(x.dtype).mean(2)
    return Correspondence(*((count * seen).sum(1).to(x.dtype) for count in (correct, index, chance, seen)))
