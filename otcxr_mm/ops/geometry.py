"""Where the tokens of a view lie in the original image, which the augmentation knows.

`view_to_image` is the affine 2 x 3 matrix that maps a point (x, y) of the view to the point of the original image that
it shows. Both are normalised: (0, 0) is the upper left corner, (1, 1) the lower right one.
"""

import torch
from torch import Tensor

from .cost import cost
from .precision import full_precision


def _check(view_to_image: Tensor) -> None:
    if view_to_image.dim() != 3 or view_to_image.shape[1:] != (2, 3):
        raise ValueError(f"view_to_image has the shape (B, 2, 3), got {tuple(view_to_image.shape)}")


def cell_centres(h: int, w: int, like: Tensor) -> Tensor:
    """Centres (x, y) of the cells of an h x w grid on the unit square, (h w, 2), row by row."""
    ys = (torch.arange(h, device=like.device, dtype=like.dtype) + 0.5) / h
    xs = (torch.arange(w, device=like.device, dtype=like.dtype) + 0.5) / w
    return torch.stack([xs.repeat(h), ys.repeat_interleave(w)], dim=-1)


def to_image(view_to_image: Tensor, points: Tensor) -> Tensor:
    """Where points (n, 2) of a view lie in the image, (B, n, 2)."""
    _check(view_to_image)
    return points @ view_to_image[:, :, :2].transpose(1, 2) + view_to_image[:, None, :, 2]


def to_view(view_to_image: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Where points (B, n, 2) of the image lie in a view, (B, n, 2), and whether the view shows them, (B, n)."""
    _check(view_to_image)
    linear, offset = view_to_image[:, :, :2], view_to_image[:, :, 2]
    # solve_ex, unlike solve, reads nothing back to the host
    found = torch.linalg.solve_ex(linear, (points - offset[:, None]).transpose(1, 2))[0].transpose(1, 2)
    return found, ((found >= 0) & (found <= 1)).all(-1)


@full_precision
def token_centres(view_to_image: Tensor, grid: tuple[int, int]) -> Tensor:
    """Centres of a view's tokens in the original image.

    Args:
        view_to_image: (B, 2, 3).
        grid: Rows and columns (h, w) of the tokens.

    Returns:
        Points (x, y), (B, h w, 2), row by row, in units of the image's width and height.
    """
    return to_image(view_to_image, cell_centres(*grid, view_to_image))


@full_precision
def visibility(view_to_image: Tensor, other: Tensor, grid: tuple[int, int], samples: int = 4) -> Tensor:
    """Share of each token's area that the other view shows too.

    Args:
        view_to_image: View of the tokens, (B, 2, 3).
        other: The other view, (B, 2, 3).
        grid: Rows and columns (h, w) of the tokens.
        samples: The share is counted on samples x samples points per token.

    Returns:
        (B, h w), in [0, 1].
    """
    h, w = grid
    points = to_image(view_to_image, cell_centres(h * samples, w * samples, view_to_image))
    seen = to_view(other, points)[1].to(points)
    return seen.view(-1, h, samples, w, samples).mean((2, 4)).flatten(1)


def geometric_prior(view_to_image: Tensor, other: Tensor, grid: tuple[int, int]) -> Tensor:
    """Squared distance in the original image between the tokens of two views.

    Args:
        view_to_image: The source view, (B, 2, 3).
        other: The target view, (B, 2, 3).
        grid: Rows and columns (h, w) of the tokens of both.

    Returns:
        (B, h w, h w), in squared units of the image's sides.
    """
    # the cost divides by the dimension, here 2
    return 2 * cost(token_centres(view_to_image, grid), token_centres(other, grid))
