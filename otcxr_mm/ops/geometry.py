"""What the augmentation knows: where the tokens of a viewpoint lie in the original image.

A viewpoint is described by `view_to_image`, the affine 2 x 3 matrix that takes a point (x, y) of the viewpoint to the
point of the original image it shows. Both are normalised: (0, 0) is the upper left corner, (1, 1) the lower right one.
"""

import torch
from torch import Tensor

from .cost import cost
from .precision import full_precision


def _check(view_to_image: Tensor) -> None:
    if view_to_image.dim() != 3 or view_to_image.shape[1:] != (2, 3):
        raise ValueError(f"view_to_image has the shape (B, 2, 3), got {tuple(view_to_image.shape)}")


def _grid(h: int, w: int, like: Tensor) -> Tensor:
    ys = (torch.arange(h, device=like.device, dtype=like.dtype) + 0.5) / h
    xs = (torch.arange(w, device=like.device, dtype=like.dtype) + 0.5) / w
    return torch.stack([xs.repeat(h), ys.repeat_interleave(w)], dim=-1)


def _apply(matrix: Tensor, points: Tensor) -> Tensor:
    return points @ matrix[:, :, :2].transpose(1, 2) + matrix[:, None, :, 2]


@full_precision
def token_centres(view_to_image: Tensor, grid: tuple[int, int]) -> Tensor:
    """Centres of a viewpoint's tokens in the original image.

    Args:
        view_to_image: (B, 2, 3).
        grid: Rows and columns (h, w) of the tokens.

    Returns:
        Points (x, y), (B, h w, 2), row by row, in units of the image's width and height.

    Raises:
        ValueError: For another shape.
    """
    _check(view_to_image)
    return _apply(view_to_image, _grid(*grid, view_to_image))


@full_precision
def visibility(view_to_image: Tensor, other: Tensor, grid: tuple[int, int], samples: int = 4) -> Tensor:
    """Share of each token's area that the other viewpoint shows too.

    Args:
        view_to_image: Viewpoint of the tokens, (B, 2, 3).
        other: The other viewpoint, (B, 2, 3).
        grid: Rows and columns (h, w) of the tokens.
        samples: The share is counted on samples x samples points a token.

    Returns:
        (B, h w), in [0, 1].

    Raises:
        ValueError: For another shape.
    """
    _check(view_to_image)
    _check(other)
    h, w = grid
    points = _apply(view_to_image, _grid(h * samples, w * samples, view_to_image))
    linear, offset = other[:, :, :2], other[:, :, 2]
    in_other = torch.linalg.solve_ex(linear, (points - offset[:, None]).transpose(1, 2))[0].transpose(1, 2)
    inside = ((in_other >= 0) & (in_other <= 1)).all(-1).to(points)
    return inside.view(-1, h, samples, w, samples).mean((2, 4)).flatten(1)


def geometric_prior(view_to_image: Tensor, other: Tensor, grid: tuple[int, int]) -> Tensor:
    """Squared distance in the original image between the tokens of two viewpoints.

    Args:
        view_to_image: (B, 2, 3), the source viewpoint.
        other: (B, 2, 3), the target viewpoint.
        grid: Rows and columns (h, w) of the tokens of both.

    Returns:
        (B, h w, h w), in units of the image's sides squared.

    Raises:
        ValueError: For another shape.
    """
    # the cost divides by the dimension, here 2
    return 2 * cost(token_centres(view_to_image, grid), token_centres(other, grid))
