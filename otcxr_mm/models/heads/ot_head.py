"""The objective of OTCXR: transport, variance and covariance of projected tokens."""

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.functional import pad

from ...ops import Transport, gather, geometric_prior, position_centred, visibility
from ...ops.precision import to_float32
from ...registry import MODELS
from ..tokens import Atoms, Tokens

_FLOOR = 0.05  # so that no token is without mass


@MODELS.register_module()
class OTHead(BaseModule):
    """L = alpha L_OT(q_s, q_t) + beta [var(q_s) + var(q_t)] + eta [cov(q_s) + cov(q_t)].

    Dense semantic invariance: the tokens of the source and of the target viewpoint are two discrete measures, aligned
    by optimal transport, with variance and covariance regularisation in the same objective. Under DDP the statistics
    are those of the global batch. Published is the formula; the masses, the global token as one more atom, the
    geometric prior, what the statistics are taken on, and the guard are our reading.

    Args:
        loss_ot: Config of the transport loss; its `loss_weight` is alpha.
        loss_var: Config of the variance loss; its `loss_weight` is beta.
        loss_cov: Config of the covariance loss; its `loss_weight` is eta.
        global_mass: Mass of the global token, in [0, 1); 0 leaves it out of the transport.
        marginals: Masses of the dense tokens: ``'uniform'``; ``'visibility'``: proportional to 0.05 + the share of the
            token that the other view shows; ``'saliency'``: proportional to 0.05 + the token's squared deviation from
            the mean token, relative to the average over the view.
        matching: ``'transport'``, or a plan that ignores the features, for comparison: ``'geometry'``: transport with
            the squared distance in the original image as its only cost; ``'index'``: each atom with that of the same
            index, with the mean of both masses.
        prior_scale: Distance in the original image, in units of its sides, at which the geometric prior equals its
            weight; None: no geometry in the plan's cost. Pairs with the global token get the mean of the dense pairs.
        centre: What is subtracted from the tokens before the cost: ``'none'``, the mean over the global ``'batch'``, or
            the batch mean at each ``'position'``.
        statistics: What variance and covariance are taken on: ``'both'``: half on the global token, half on the tokens
            centred at each position; or one of them alone, ``'pooled'`` or ``'tokens'``; or ``'flattened'``: all tokens
            as samples, which a table f(position) satisfies without any image.
        guard: Whether half of each loss is taken on the tokens before infusion, and the plan computed on them alone, so
            that copying through the infusion cannot lower it.
        init_cfg: MMEngine's initialisation.

    Raises:
        ValueError: For an unknown choice, or choices that exclude each other.
    """

    def __init__(
        self,
        loss_ot: dict | None = None,
        loss_var: dict | None = None,
        loss_cov: dict | None = None,
        global_mass: float = 0.25,
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
            ("marginals", marginals, ("uniform", "visibility", "saliency")),
            ("matching", matching, ("transport", "geometry", "index")),
            ("centre", centre, ("none", "batch", "position")),
            ("statistics", statistics, ("both", "pooled", "tokens", "flattened")),
        ):
            if value not in allowed:
                raise ValueError(f"OTHead: {name} is one of {allowed}, got {value!r}")
        if not 0 <= global_mass < 1:
            raise ValueError(f"OTHead: global_mass must be in [0, 1), got {global_mass}")
        if prior_scale is not None and not prior_scale > 0:
            raise ValueError(f"OTHead: prior_scale must be > 0, or None for no prior, got {prior_scale}")
        if matching == "geometry" and prior_scale is None:
            raise ValueError("OTHead: matching='geometry' needs prior_scale, the distance that counts as near")
        self.loss_ot = MODELS.build({"type": "otcxr_mm.TransportLoss", **(loss_ot or {})})
        self.loss_var = MODELS.build({"type": "otcxr_mm.VarianceLoss", **(loss_var or {})})
        self.loss_cov = MODELS.build({"type": "otcxr_mm.CovarianceLoss", **(loss_cov or {})})
        if (guard or matching != "transport") and (self.loss_ot.debiased or self.loss_ot.objective != "cost"):
            raise ValueError(
                f"OTHead: guard={guard} with matching={matching!r} needs objective='cost' and debiased=False in "
                f"loss_ot, got {self.loss_ot.objective!r} and {self.loss_ot.debiased}"
            )
        self.global_mass, self.marginals, self.matching = global_mass, marginals, matching
        self.prior_scale, self.centre, self.statistics, self.guard = prior_scale, centre, statistics, guard

    def loss(
        self,
        source: Tokens,
        target: Tokens,
        view_to_image: Tensor | None = None,
        fixed: tuple[Tokens, Tokens] | None = None,
    ) -> dict[str, Tensor]:
        """Computes the losses of two views' tokens.

        Args:
            source: q_s; with `guard` also the tokens before infusion.
            target: q_t, likewise.
            view_to_image: Where both views lie in the image, (B, 2, 2, 3), see `otcxr_mm.ops`; needed for
                ``'visibility'`` and a prior.
            fixed: q_s and q_t of a target network. Each view is then transported to the other view of that network.

        Returns:
            `loss_ot`, `loss_var` and `loss_cov`; and, for the log, `ot_marginal_error`, `ot_partners` (effective number
            of partners per atom, 1 for a permutation) and `ot_mass`.

        Raises:
            ValueError: If the geometry or the tokens before infusion are needed and missing, or the global batch is a
                single image.
        """
        if self.guard and source.plain is None:
            raise ValueError("OTHead: guard=True needs the tokens before infusion: use it with OTCXR and CVSIM")
        # before any mean or gather: these are statistics already
        source, target, fixed = to_float32((source, target, fixed))
        if fixed is None:
            loss_ot, solution = self._align(source, target, view_to_image)
        else:
            fixed_source, fixed_target = fixed
            swapped = None if view_to_image is None else view_to_image.flip(1)
            loss_ot, solution = self._align(source, fixed_target, view_to_image)
            loss_ot = (loss_ot + self._align(target, fixed_source, swapped)[0]) / 2
        losses = {"loss_ot": loss_ot, **self._regularise(source, target)}
        if self.guard:
            before = self._regularise(source.plain, target.plain)
            losses.update({name: (losses[name] + value) / 2 for name, value in before.items()})
        return {
            **losses,
            "ot_marginal_error": solution.marginal_error.mean(),
            "ot_partners": solution.partners.mean(),
            "ot_mass": solution.mass.detach().mean(),
        }

    def transport(
        self, source: Tokens, target: Tokens, view_to_image: Tensor | None = None, prior: bool = True
    ) -> tuple[Tensor, Transport]:
        """Transports the source tokens to the target tokens.

        Args:
            source: Tokens of one view.
            target: Tokens of the other view.
            view_to_image: As in :meth:`loss`.
            prior: Whether the geometric prior, if there is one, counts in the plan; False: the features alone.

        Returns:
            The loss and the solution. Its atoms are the N dense tokens and, unless its mass is 0, the global token.

        Raises:
            ValueError: If the geometry is needed and missing.
        """
        if view_to_image is None and (self.marginals == "visibility" or self.prior_scale is not None):
            raise ValueError(
                "OTHead: marginals='visibility' and prior_scale need view_to_image, which the data samples lack: "
                "end the pipeline with otcxr_mm.TwoViewCrop and otcxr_mm.PackViews"
            )
        source, target = to_float32((source, target))
        measures = [
            Atoms(self._points(tokens), self._masses(tokens, view_to_image, view))
            for view, tokens in enumerate((source, target))
        ]
        return self.loss_ot(*measures, self._prior(view_to_image, source.grid) if prior else None, self.matching)

    def _align(self, source: Tokens, target: Tokens, view_to_image: Tensor | None) -> tuple[Tensor, Transport]:
        if not self.guard:
            return self.transport(source, target, view_to_image)
        before, solution = self.transport(source.plain, target.plain, view_to_image)
        after = self.loss_ot.on_plan(solution.plan, self._points(source), self._points(target))
        return (before + after) / 2, solution

    def _points(self, tokens: Tokens) -> Tensor:
        if self.centre != "none":
            dims = (0, 1) if self.centre == "batch" else 0
            centred = [x if x is None else x - gather(x).mean(dims, keepdim=True) for x in tokens[:2]]
            tokens = tokens._replace(dense=centred[0], global_=centred[1])
        return torch.cat([tokens.dense, tokens.pooled], 1) if self.global_mass else tokens.dense

    def _masses(self, tokens: Tokens, view_to_image: Tensor | None, view: int) -> Tensor:
        dense = tokens.dense.detach()
        if self.marginals == "visibility":
            weights = _FLOOR + visibility(view_to_image[:, view], view_to_image[:, 1 - view], tokens.grid)
        elif self.marginals == "saliency":
            energy = (dense - dense.mean(1, keepdim=True)).square().sum(2)
            weights = _FLOOR + energy / energy.mean(1, keepdim=True).clamp_min(1e-12)
        else:
            weights = torch.ones_like(dense[:, :, 0])
        weights = (1 - self.global_mass) * weights / weights.sum(1, keepdim=True)
        return pad(weights, (0, 1), value=self.global_mass) if self.global_mass else weights

    def _prior(self, view_to_image: Tensor | None, grid: tuple[int, int]) -> Tensor | None:
        if self.prior_scale is None:
            return None
        prior = geometric_prior(view_to_image[:, 0], view_to_image[:, 1], grid) / self.prior_scale**2
        if not self.global_mass:
            return prior
        n = prior.shape[1]
        padded = prior.mean((1, 2), keepdim=True).repeat(1, n + 1, n + 1)
        padded[:, :n, :n] = prior
        return padded

    def _regularise(self, source: Tokens, target: Tokens) -> dict[str, Tensor]:
        losses = {"loss_var": 0, "loss_cov": 0}
        for samples in (self._samples(source), self._samples(target)):
            for x, dof in samples:
                losses["loss_var"] = losses["loss_var"] + self.loss_var(x, dof) / len(samples)
                losses["loss_cov"] = losses["loss_cov"] + self.loss_cov(x, dof) / len(samples)
        return losses

    def _samples(self, tokens: Tokens) -> list[tuple[Tensor, int | None]]:
        """What the statistics are taken on, over the global batch, with the degrees of freedom."""
        samples = []
        if self.statistics in ("both", "pooled"):
            samples.append((gather(tokens.pooled)[:, 0], None))
        if self.statistics in ("both", "tokens"):
            samples.append(position_centred(gather(tokens.dense)))
        if self.statistics == "flattened":
            samples.append((gather(tokens.dense).flatten(0, 1), None))
        return samples
