"""How well dense features find the same place of the patient in another viewpoint."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .geometry import _apply, _check, _grid
from .precision import full_precision


@dataclass(frozen=True)
class Correspondence:
    """Counts over the tokens whose place the other viewpoint shows, each (B,); divide sums by sums.

    Attributes:
        correct: Tokens whose nearest neighbour in feature space lies within one cell of the true place.
        index: The same for the token with the same index instead of the nearest neighbour.
        chance: Expected number for a token drawn uniformly.
        tokens: Tokens counted.
    """

    correct: Tensor
    index: Tensor
    chance: Tensor
    tokens: Tensor


@full_precision
def correspondence(x: Tensor, y: Tensor, view_to_image: Tensor, other: Tensor, grid: tuple[int, int]) -> Correspondence:
    """Nearest neighbours of a viewpoint's tokens in another one, judged by the known geometry.

    A neighbour is right if its centre lies within one cell, in rows and in columns, of the place where the token's own
    centre really is in the other viewpoint. Tokens whose centre the other viewpoint does not show are left out.
    A number means something only beside `index`, `chance` and the same backbone before training.

    Args:
        x: Features of the viewpoint, (B, h w, D).
        y: Features of the other viewpoint, (B, h w, D).
        view_to_image: (B, 2, 3), of the viewpoint.
        other: (B, 2, 3), of the other viewpoint.
        grid: Rows and columns (h, w) of the tokens.

    Returns:
        Counts.

    Raises:
        ValueError: For shapes that do not fit.
    """
    _check(view_to_image)
    _check(other)
    h, w = grid
    if x.shape != y.shape or x.dim() != 3 or x.shape[1] != h * w:
        raise ValueError(f"features have the shape (B, {h * w}, D), got {tuple(x.shape)} and {tuple(y.shape)}")
    if not len(x) == len(view_to_image) == len(other):
        raise ValueError(f"got features of {len(x)} images, view_to_image of {len(view_to_image)} and {len(other)}")
    cells = _grid(h, w, view_to_image)
    points = _apply(view_to_image, cells)
    linear, offset = other[:, :, :2], other[:, :, 2]
    place = torch.linalg.solve(linear, (points - offset[:, None]).transpose(1, 2)).transpose(1, 2)
    seen = ((place >= 0) & (place <= 1)).all(-1)
    size = torch.tensor([w, h], dtype=cells.dtype, device=cells.device)
    # the margin lets rounding not decide about identical viewpoints
    near = ((place[:, :, None] - cells).abs() * size <= 1 + 1e-4).all(-1)
    neighbour = (normalize(x, dim=-1) @ normalize(y, dim=-1).transpose(1, 2)).argmax(2)
    correct = near.gather(2, neighbour[:, :, None])[:, :, 0]
    index = near.diagonal(dim1=1, dim2=2)
    chance = near.to(x.dtype).mean(2)
    return Correspondence(*((count * seen).sum(1).to(x.dtype) for count in (correct, index, chance, seen)))
