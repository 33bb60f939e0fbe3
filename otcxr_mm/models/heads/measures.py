"""What turns the tokens of two views into transport problems: masses, and costs from the crops' geometry."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...ops import geometric_prior, visibility
from ..losses import TransportLoss
from ..tokens import Tokens

_FLOOR = 0.05  # so that no token is without mass


class Matching(NamedTuple):
    """How the tokens of two views are matched; the attributes are those of :class:`.OTHead`."""

    loss_ot: TransportLoss
    global_mass: float
    marginals: str
    matching: str
    prior_scale: float | None

    def points(self, tokens: Tokens) -> Tensor:
        """Atoms of a view, (B, N or N + 1, D)."""
        return torch.cat([tokens.dense, tokens.pooled], 1) if self.global_mass else tokens.dense


def masses(tokens: Tokens, kind: str, global_mass: float, view_to_image: Tensor | None, view: int) -> Tensor:
    """Masses of a view's atoms.

    Args:
        tokens: Tokens of the view.
        kind: `marginals` of :class:`.OTHead`.
        global_mass: Mass of the global token; the dense tokens share the rest.
        view_to_image: Both views' maps to the image, (B, 2, 2, 3); needed for ``'visibility'``.
        view: Index of the view, 0 or 1.

    Returns:
        (B, N), or (B, N + 1) if `global_mass` is not 0; the sum is 1.
    """
    dense = tokens.dense.detach()
    if kind == "visibility":
        weights = _FLOOR + visibility(view_to_image[:, view], view_to_image[:, 1 - view], tokens.grid)
    else:
        weights = torch.ones_like(dense[:, :, 0])
    weights = (1 - global_mass) * weights / weights.sum(1, keepdim=True)
    return pad(weights, (0, 1), value=global_mass) if global_mass else weights


def prior_cost(view_to_image: Tensor, grid: tuple[int, int], scale: float, with_global: bool) -> Tensor:
    """Squared distance in the original image between the tokens of two views, in units of `scale`.

    Args:
        view_to_image: Both views' maps to the image, (B, 2, 2, 3).
        grid: Rows and columns (h, w) of the dense tokens, N = h w.
        scale: Distance of cost 1, in units of the image's sides.
        with_global: Whether a global token is the last atom; its pairs get the mean cost of the dense ones.

    Returns:
        (B, N, N), or (B, N + 1, N + 1) with a global token.
    """
    dense = geometric_prior(view_to_image[:, 0], view_to_image[:, 1], grid) / scale**2
    if not with_global:
        return dense
    n = dense.shape[1]
    padded = dense.mean((1, 2), keepdim=True).repeat(1, n + 1, n + 1)
    padded[:, :n, :n] = dense
    return padded
