"""How the tokens of two views are matched: atoms and masses, costs from the geometry, and the transport."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...ops import Transport, geometric_prior, visibility
from ..choices import check_choice
from ..losses import TransportLoss
from ..tokens import Atoms, Tokens

_FLOOR = 0.05  # so that no token is without mass


class Matching:
    """One way to match the tokens of two views; :class:`.OTHead` has one for each kind of sample.

    Args:
        loss_ot: The transport loss.
        guard: As all others, see :class:`.OTHead`, also for errors.
    """

    def __init__(
        self,
        loss_ot: TransportLoss,
        guard: bool,
        global_mass: float,
        marginals: str,
        matching: str,
        prior_scale: float | None,
    ) -> None:
        check_choice("OTHead", "marginals", marginals, ("uniform", "visibility"))
        check_choice("OTHead", "matching", matching, ("transport", "softmax", "nearest", "geometry", "index"))
        if not 0 <= global_mass < 1:
            raise ValueError(f"OTHead: global_mass must be in [0, 1), got {global_mass}")
        if prior_scale is not None and not prior_scale > 0:
            raise ValueError(f"OTHead: prior_scale must be > 0, or None for no prior, got {prior_scale}")
        if matching == "geometry" and prior_scale is None:
            raise ValueError("OTHead: matching='geometry' needs prior_scale, the distance that counts as near")
        if (guard or matching != "transport") and (loss_ot.debiased or loss_ot.objective != "cost"):
            raise ValueError(
                f"OTHead: guard={guard} with matching={matching!r} needs objective='cost' and debiased=False in "
                f"loss_ot, got {loss_ot.objective!r} and {loss_ot.debiased}"
            )
        self.loss_ot, self.guard, self.global_mass = loss_ot, guard, global_mass
        self.marginals, self.matching, self.prior_scale = marginals, matching, prior_scale

    def transport(
        self, source: Tokens, target: Tokens, view_to_image: Tensor | None, prior: bool = True
    ) -> tuple[Tensor, Transport]:
        """Loss and solution, as :meth:`.OTHead.transport` gives them."""
        if view_to_image is None and (self.marginals == "visibility" or self.prior_scale is not None):
            raise ValueError(
                "OTHead: marginals='visibility' and prior_scale need view_to_image, which the data samples lack: "
                "end the pipeline with otcxr_mm.TwoViewCrop and otcxr_mm.PackViews"
            )
        weights = masses(source, self.marginals, self.global_mass, view_to_image)
        mu, nu = (Atoms(self._points(t), mass) for t, mass in zip((source, target), weights, strict=True))
        cost = None
        if prior and self.prior_scale is not None:
            cost = prior_cost(view_to_image, source.grid, self.prior_scale, with_global=self.global_mass > 0)
        return self.loss_ot(mu, nu, cost, self.matching)

    def align(self, source: Tokens, target: Tokens, view_to_image: Tensor | None) -> tuple[Tensor, Transport]:
        """L_OT: with the guard, half of it on the tokens before infusion, which alone determine the plan."""
        if not self.guard:
            return self.transport(source, target, view_to_image)
        before, solution = self.transport(source.plain, target.plain, view_to_image)
        after = self.loss_ot.on_plan(solution.plan, self._points(source), self._points(target))
        return (before + after) / 2, solution

    def _points(self, tokens: Tokens) -> Tensor:
        """Atoms of a view, (B, N or N + 1, D)."""
        return torch.cat([tokens.dense, tokens.pooled], 1) if self.global_mass else tokens.dense


def masses(tokens: Tokens, kind: str, global_mass: float, view_to_image: Tensor | None) -> Sequence[Tensor]:
    """Masses of the atoms of source and target.

    Args:
        tokens: Tokens of either view.
        kind: `marginals` of :class:`.OTHead`.
        global_mass: Mass of the global token; the dense tokens share the rest.
        view_to_image: Both views' maps to the image, (B, 2, 2, 3); needed for ``'visibility'``.

    Returns:
        Two of (B, N), or of (B, N + 1) if `global_mass` is not 0; the sum of each is 1.
    """
    if kind == "visibility":
        own, other = view_to_image.transpose(0, 1), view_to_image.flip(1).transpose(0, 1)
        weights = _FLOOR + visibility(own.flatten(0, 1), other.flatten(0, 1), tokens.grid)
    else:
        weights = torch.ones_like(tokens.dense[:, :, 0].detach()).repeat(2, 1)
    weights = (1 - global_mass) * weights / weights.sum(1, keepdim=True)
    return (pad(weights, (0, 1), value=global_mass) if global_mass else weights).chunk(2)


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
