"""The OTCXR objective on projected tokens: transport, variance, covariance."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor

from ...ops import Transport, gather, geometric_prior, position_centred, visibility
from ...ops.precision import widen
from ...registry import MODELS

Geometry = tuple[Tensor, tuple[int, int]]
_FLOOR = 0.05  # no token is without mass


@MODELS.register_module()
class OTHead(BaseModule):
    r"""L = alpha L_OT(q_s, q_t) + beta [var(q_s) + var(q_t)] + eta [cov(q_s) + cov(q_t)].

    The tokens of each viewpoint, and a global one as one more atom, are a discrete measure. The weights alpha, beta,
    eta are the `loss_weight` of the three losses. Statistics are those of the global batch under DDP.

    Args:
        loss_ot: Config of the transport loss.
        loss_var: Config of the variance loss.
        loss_cov: Config of the covariance loss.
        global_mass: Mass of the global token in the transport, in [0, 1); 0: it takes no part.
        global_token: ``'mean'``: the mean of the tokens; ``'own'``: the last of the tokens that the neck gives; None:
            as the neck has it, ``'mean'`` without an OTCXR.
        marginals: Masses of the dense tokens: ``'uniform'``; ``'visibility'``: proportional to 0.05 + the share of the
            token that the other viewpoint shows; ``'saliency'``: to 0.05 + the token's share of the squared
            deviation from the mean token, times N.
        matching: ``'transport'``; or, to compare with, a plan that looks at no feature: ``'geometry'``: transport with
            the squared distance in the original image as its only cost; ``'index'``: each atom with the one of the same
            index, with the mean of both masses.
        prior_scale: Distance in the original image, in units of its sides, at which the geometric prior equals
            its weight; None: no geometry in the plan's cost. Pairs with the global token get the dense pairs' mean.
        centre: What is subtracted from the tokens before the cost: ``'none'``, the mean over the global ``'batch'``, or
            the one at each ``'position'``.
        statistics: On what variance and covariance are taken: ``'both'``: half on the global token, half on tokens
            after subtracting the batch mean at each position; or ``'pooled'``, ``'tokens'`` (centred at each position)
            or ``'flattened'`` alone. A table f(position) without any image satisfies ``'flattened'``.
        guard: Half of each loss on the tokens before infusion, with the plan computed on them, so that copying
            through the infusion cannot lower it. Needs a neck that gives both, and the plain objective <T, C>.
        init_cfg: MMEngine's initialisation.

    Raises:
        ValueError: For an unknown choice.
    """

    def __init__(
        self,
        loss_ot: dict | None = None,
        loss_var: dict | None = None,
        loss_cov: dict | None = None,
        global_mass: float = 0.25,
        global_token: str | None = None,
        marginals: str = "uniform",
        matching: str = "transport",
        prior_scale: float | None = None,
        centre: str = "none",
        statistics: str = "both",
        guard: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        for name, value, allowed in (
            ("global_token", global_token, (None, "mean", "own")),
            ("marginals", marginals, ("uniform", "visibility", "saliency")),
            ("matching", matching, ("transport", "geometry", "index")),
            ("centre", centre, ("none", "batch", "position")),
            ("statistics", statistics, ("both", "pooled", "tokens", "flattened")),
        ):
            if value not in allowed:
                raise ValueError(f"OTHead: {name} is one of {allowed}, got {value!r}")
        if not 0 <= global_mass < 1:
            raise ValueError(f"OTHead: global_mass lies in [0, 1), got {global_mass}")
        if prior_scale is not None and not prior_scale > 0:
            raise ValueError(f"OTHead: prior_scale must be > 0, or None for no prior, got {prior_scale}")
        self.loss_ot = MODELS.build({"type": "otcxr_mm.TransportLoss", **(loss_ot or {})})
        self.loss_var = MODELS.build({"type": "otcxr_mm.VarianceLoss", **(loss_var or {})})
        self.loss_cov = MODELS.build({"type": "otcxr_mm.CovarianceLoss", **(loss_cov or {})})
        if matching == "geometry" and prior_scale is None:
            raise ValueError("OTHead: matching='geometry' needs prior_scale, the distance that counts as near")
        if matching != "transport" and (self.loss_ot.debiased or self.loss_ot.objective != "cost"):
            raise ValueError(f"OTHead: matching={matching!r} goes with objective='cost' and debiased=False")
        if guard and (self.loss_ot.debiased or self.loss_ot.objective != "cost"):
            raise ValueError("OTHead: guard=True goes with objective='cost' and debiased=False")
        self.global_mass, self.global_token = global_mass, global_token
        self.marginals, self.prior_scale = marginals, prior_scale
        self.centre, self.statistics, self.guard, self.matching = centre, statistics, guard, matching

    @property
    def needs_geometry(self) -> bool:
        """Whether :meth:`loss` needs to know where the viewpoints lie."""
        return self.marginals == "visibility" or self.prior_scale is not None

    def transport(self, source: Tensor, target: Tensor, geometry: Geometry | None = None) -> Transport:
        """Transport between two viewpoints' tokens.

        Args:
            source: (B, N, D), or (B, N + 1, D) with a global token of its own, the last one.
            target: As `source`.
            geometry: `view_to_image` of both viewpoints, (B, 2, 2, 3), and the grid (h, w) of the tokens.

        Returns:
            The solution; with a global token its atoms are the N tokens and, last, the global one.

        Raises:
            ValueError: If the geometry is needed and missing.
        """
        if self.needs_geometry and geometry is None:
            raise ValueError(
                "OTHead: marginals='visibility' and prior_scale need the geometry of the viewpoints: "
                "the pipeline must end in otcxr_mm.PackViews after otcxr_mm.TwoViewCrop"
            )
        source, target = widen(source), widen(target)
        marginals = self._masses(source, geometry, 0), self._masses(target, geometry, 1)
        source, target = self._atoms(source), self._atoms(target)
        return self.loss_ot.solve(source, target, *marginals, self._prior(geometry), self.matching)

    def loss(
        self,
        source: Tensor,
        target: Tensor,
        geometry: Geometry | None = None,
        plain: Sequence[Tensor] = (),
        fixed: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        """Losses of projected tokens.

        Args:
            source: q_s, (B, N, D), or (B, N + 1, D) with a global token of its own, the last one.
            target: q_t, as q_s.
            geometry: As in :meth:`transport`.
            plain: With `guard`: (p_s, p_t), the tokens projected without infusion.
            fixed: With a target network: its tokens of both viewpoints, (q_s, q_t) or, with `guard`,
                (q_s, q_t, p_s, p_t). Each viewpoint is then transported to the target network's other one.

        Returns:
            `loss_ot`, `loss_var`, `loss_cov`; and, not losses: `ot_marginal_error`, `ot_partners` (effective
            partners of an atom, 1 for a permutation), `ot_mass`.

        Raises:
            ValueError: If geometry or plain tokens are needed and missing, or the batch is a single image.
        """
        if self.guard and len(plain) != 2:
            raise ValueError("OTHead: guard=True needs the tokens before infusion: use it with OTCXR and CVSIM")
        # means and gathers of tokens are statistics already
        source, target = widen(source), widen(target)
        plain, fixed = [widen(t) for t in plain], [widen(t) for t in fixed]
        online = [(source, *plain[:1]), (target, *plain[1:])]
        if not fixed:
            loss_ot, solution = self._alignment(online[0], online[1], geometry)
        else:
            constant = [(fixed[0], *fixed[2:3]), (fixed[1], *fixed[3:])]
            flipped = None if geometry is None else (geometry[0].flip(1), geometry[1])
            loss_ot, solution = self._alignment(online[0], constant[1], geometry)
            loss_ot = (loss_ot + self._alignment(online[1], constant[0], flipped)[0]) / 2
        losses = {"loss_ot": loss_ot, **self._regularisation(source, target)}
        if self.guard:
            before = self._regularisation(*plain)
            losses.update({name: (losses[name] + before[name]) / 2 for name in before})
        return {**losses, **self._diagnostics(solution)}

    def _alignment(self, source: tuple, target: tuple, geometry: Geometry | None) -> tuple[Tensor, Transport]:
        """Transport loss of (q,), or with the guard (q, p), of two viewpoints; the guard's plan is that of p."""
        solution = self.transport(source[-1], target[-1], geometry)
        if not self.guard:
            return self.loss_ot(solution), solution
        infused = self.loss_ot.on_plan(solution, self._atoms(source[0]), self._atoms(target[0]))
        return (self.loss_ot(solution) + infused) / 2, solution

    def _split(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Dense tokens (B, N, D) and the global one (B, 1, D)."""
        if self.global_token == "own":
            return tokens[:, :-1], tokens[:, -1:]
        return tokens, tokens.mean(1, keepdim=True)

    def _atoms(self, tokens: Tensor) -> Tensor:
        dense, last = self._split(tokens)
        if self.centre != "none":
            dims = (0, 1) if self.centre == "batch" else 0
            dense = dense - gather(dense).mean(dims, keepdim=True)
            last = last - gather(last).mean(0) if self.global_token == "own" else dense.mean(1, keepdim=True)
        return torch.cat([dense, last], 1) if self.global_mass else dense

    def _masses(self, tokens: Tensor, geometry: Geometry | None, view: int) -> Tensor:
        tokens, _ = self._split(tokens)
        if self.marginals == "visibility":
            matrices, grid = geometry
            weights = _FLOOR + visibility(matrices[:, view], matrices[:, 1 - view], grid)
        elif self.marginals == "saliency":
            energy = (tokens - tokens.mean(1, keepdim=True)).detach().square().sum(2)
            weights = _FLOOR + energy / energy.mean(1, keepdim=True).clamp_min(1e-12)
        else:
            weights = torch.ones_like(tokens[:, :, 0])
        weights = (1 - self.global_mass) * weights / weights.sum(1, keepdim=True)
        if not self.global_mass:
            return weights
        return torch.cat([weights, weights.new_full((len(weights), 1), self.global_mass)], 1)

    def _prior(self, geometry: Geometry | None) -> Tensor | None:
        if self.prior_scale is None:
            return None
        matrices, grid = geometry
        prior = geometric_prior(matrices[:, 0], matrices[:, 1], grid) / self.prior_scale**2
        if not self.global_mass:
            return prior
        n = prior.shape[1]
        padded = prior.mean((1, 2), keepdim=True).repeat(1, n + 1, n + 1)
        padded[:, :n, :n] = prior
        return padded

    def _regularisation(self, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        losses = {"loss_var": 0, "loss_cov": 0}
        for tokens in (gather(source), gather(target)):
            samples = []
            dense, last = self._split(tokens)
            if self.statistics in ("both", "pooled"):
                samples.append((last[:, 0], None))
            if self.statistics in ("both", "tokens"):
                samples.append(position_centred(dense))
            if self.statistics == "flattened":
                samples.append((dense.flatten(0, 1), None))
            for x, dof in samples:
                losses["loss_var"] = losses["loss_var"] + self.loss_var(x, dof) / len(samples)
                losses["loss_cov"] = losses["loss_cov"] + self.loss_cov(x, dof) / len(samples)
        return losses

    @staticmethod
    def _diagnostics(solution: Transport) -> dict[str, Tensor]:
        rows = solution.plan.detach().sum(2)
        partners = torch.exp(solution.entropy.detach() + torch.xlogy(rows, rows).sum(1))
        return {
            "ot_marginal_error": solution.marginal_error.mean(),
            "ot_partners": partners.mean(),
            "ot_mass": solution.mass.detach().mean(),
        }
