"""The objective of OTCXR: transport, variance and covariance of projected tokens."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor

from ...ops import Transport, all_reduce_mean, covariance_matrix
from ...ops.precision import to_float32
from ...registry import MODELS
from ..choices import check_choice
from ..tokens import Tokens
from .matching import Matching

# two images of a patient share no geometry, and may differ in disease
PAIRS = {"global_mass": 0.0, "marginals": "uniform", "loss_ot": {"prior_weight": 0.3}}


@MODELS.register_module()
class OTHead(BaseModule):
    """L = alpha L_OT(q_s, q_t) + beta [var(q_s) + var(q_t)] + eta [cov(q_s) + cov(q_t)].

    Dense semantic invariance: the tokens of the source and of the target view are two discrete measures, aligned by
    optimal transport, with variance and covariance regularisation in the same objective. Statistics are those of the
    global batch. The paper gives the formula; the masses, the global token as one more atom, the geometric prior, the
    samples of the statistics and the guard are our reading.

    Args:
        loss_ot: Config of the transport loss; its `loss_weight` is alpha.
        loss_var: Config of the variance loss; its `loss_weight` is beta.
        loss_cov: Config of the covariance loss; its `loss_weight` is eta.
        global_mass: Mass of the global token, in [0, 1); 0 leaves it out of the transport.
        marginals: Masses of the dense tokens: ``'uniform'``; ``'visibility'``: proportional to 0.05 + the share of the
            token that the other view shows.
        matching: ``'transport'``, or for comparison another plan with the same masses: ``'softmax'``, ``'nearest'``,
            ``'geometry'`` or ``'index'``, see :class:`otcxr_mm.TransportLoss`.
        prior_scale: Distance in the original image, in units of its sides, at which the geometric prior equals its
            weight; None: no geometry in the plan's cost. Pairs with the global token get the mean of the dense pairs.
        centre: What is subtracted from the tokens before the cost: ``'none'``, the mean over the global ``'batch'``, or
            the batch mean at each ``'position'``.
        statistics: Samples of variance and covariance: ``'pooled'``: global tokens; ``'tokens'``: dense tokens centred
            at each position; ``'both'``: half on each; ``'flattened'``: all dense tokens, for which a table
            f(position) that ignores the image is an optimum.
        guard: Whether half of each loss is taken on the tokens before infusion, and the plan computed on them alone, so
            that copying through the infusion cannot lower it.
        pairs: For samples whose views are from two images of a patient (`pairs` of the data set): what differs of
            `loss_ot`, `global_mass`, `marginals`, `matching` and `prior_scale`. Default: no mass on the global token,
            uniform masses, and a prior of weight 0.3, for which `view_to_image` says where in its own frame a token
            lies.
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
        pairs: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_choice("OTHead", "centre", centre, ("none", "batch", "position"))
        check_choice("OTHead", "statistics", statistics, ("both", "pooled", "tokens", "flattened"))
        self.centre, self.statistics, self.guard = centre, statistics, guard
        settings = dict(
            guard=guard, global_mass=global_mass, marginals=marginals, matching=matching, prior_scale=prior_scale
        )
        pairs = {**PAIRS, **(pairs or {})}
        pair_loss_ot = {**(loss_ot or {}), **pairs.pop("loss_ot")}
        self.loss_ot, self.pair_loss_ot = (
            MODELS.build({"type": "otcxr_mm.TransportLoss", **(spec or {})}) for spec in (loss_ot, pair_loss_ot)
        )
        self.loss_var = MODELS.build({"type": "otcxr_mm.VarianceLoss", **(loss_var or {})})
        self.loss_cov = MODELS.build({"type": "otcxr_mm.CovarianceLoss", **(loss_cov or {})})
        self.one_image = Matching(self.loss_ot, **settings)
        self.two_images = Matching(self.pair_loss_ot, **{**settings, **pairs})

    @property
    def uses_global_token(self) -> bool:
        """Whether any loss depends on the global token."""
        return self.one_image.global_mass > 0 or self.statistics in ("both", "pooled")

    def loss(
        self,
        source: Tokens,
        target: Tokens,
        view_to_image: Tensor | None = None,
        fixed: tuple[Tokens, Tokens] | None = None,
        paired: Sequence[bool] = (),
    ) -> dict[str, Tensor]:
        """Computes the losses of two views' tokens.

        Args:
            source: q_s; with `guard` also the tokens before infusion.
            target: q_t, likewise.
            view_to_image: Affine maps from both views to the image, (B, 2, 2, 3), see `otcxr_mm.ops.geometry`;
                needed for ``'visibility'`` and a prior.
            fixed: q_s and q_t of a target network. Each view is then transported to the network's other view.
            paired: Whether the views of a sample are from two images, B values; () if none are.

        Returns:
            `loss_ot`, `loss_var` and `loss_cov`; and, for the log, `ot_marginal_error`, `ot_partners` (effective number
            of partners per atom, 1 for a permutation) and `ot_mass`.

        Raises:
            ValueError: If the geometry or the tokens before infusion are missing but needed, or the global batch is a
                single image.
        """
        if self.guard and source.plain is None:
            raise ValueError("OTHead: guard=True needs the tokens before infusion: use it with OTCXR and CVSIM")
        # before any mean, which are statistics already
        source, target, fixed = to_float32((source, target, fixed))
        if fixed is None:
            loss_ot, diagnostics = self._align(source, target, view_to_image, paired)
        else:
            fixed_source, fixed_target = fixed
            swapped = None if view_to_image is None else view_to_image.flip(1)
            loss_ot, diagnostics = self._align(source, fixed_target, view_to_image, paired)
            loss_ot = (loss_ot + self._align(target, fixed_source, swapped, paired)[0]) / 2
        losses = {"loss_ot": loss_ot, **self._regularise(source, target)}
        if self.guard:
            before = self._regularise(source.plain, target.plain)
            losses.update({name: (losses[name] + value) / 2 for name, value in before.items()})
        return {**losses, **diagnostics}

    def transport(
        self,
        source: Tokens,
        target: Tokens,
        view_to_image: Tensor | None = None,
        prior: bool = True,
        pairs: bool = False,
    ) -> tuple[Tensor, Transport]:
        """Transports the source tokens to the target tokens.

        Args:
            source: Tokens of one view.
            target: Tokens of the other view.
            view_to_image: As in :meth:`loss`.
            prior: Whether the plan may use the geometric prior, if there is one; False: features alone.
            pairs: Whether the views are from two images of a patient.

        Returns:
            The loss and the solution. Its atoms are the N dense tokens and, unless its mass is 0, the global token.

        Raises:
            ValueError: If the geometry is missing but needed.
        """
        source, target = map(self._centred, to_float32((source, target)))
        how = self.two_images if pairs else self.one_image
        return how.transport(source, target, view_to_image, prior)

    def _align(
        self, source: Tokens, target: Tokens, view_to_image: Tensor | None, paired: Sequence[bool]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """L_OT and its diagnostics, means over the batch; views from two images are matched in their own way."""
        # over the whole batch, before it is divided
        source, target = self._centred(source), self._centred(target)
        if not any(paired):
            loss, solution = self.one_image.align(source, target, view_to_image)
            return loss, _diagnostics(solution)
        loss, diagnostics = 0, {}
        for how, kind in ((self.one_image, False), (self.two_images, True)):
            rows = [row for row, is_pair in enumerate(paired) if is_pair == kind]
            if not rows:
                continue
            share, rows = len(rows) / len(paired), torch.tensor(rows, device=source.dense.device)
            geometry = None if view_to_image is None else view_to_image[rows]
            part, solution = how.align(source.take(rows), target.take(rows), geometry)
            loss = loss + share * part
            for name, value in _diagnostics(solution).items():
                diagnostics[name] = diagnostics.get(name, 0) + share * value
        return loss, diagnostics

    def _centred(self, tokens: Tokens) -> Tokens:
        """The tokens less the mean that `centre` names, over the global batch."""
        if self.centre == "none":
            return tokens
        dims = (0, 1) if self.centre == "batch" else 0
        dense, global_ = (x if x is None else x - all_reduce_mean(x.mean(dims, keepdim=True)) for x in tokens[:2])
        return Tokens(dense, global_, tokens.grid, None if tokens.plain is None else self._centred(tokens.plain))

    def _regularise(self, source: Tokens, target: Tokens) -> dict[str, Tensor]:
        losses = {"loss_var": 0, "loss_cov": 0}
        for samples in (self._samples(source), self._samples(target)):
            for matrix in map(covariance_matrix, samples):
                losses["loss_var"] = losses["loss_var"] + self.loss_var(matrix) / len(samples)
                losses["loss_cov"] = losses["loss_cov"] + self.loss_cov(matrix) / len(samples)
        return losses

    def _samples(self, tokens: Tokens) -> list[Tensor]:
        """Samples of the statistics, (n, D), or (B, N, D) to be centred at each position."""
        if self.statistics == "flattened":
            return [tokens.dense.flatten(0, 1)]
        samples = []
        if self.statistics in ("both", "pooled"):
            samples.append(tokens.pooled[:, 0])
        if self.statistics in ("both", "tokens"):
            samples.append(tokens.dense)
        return samples


def _diagnostics(solution: Transport) -> dict[str, Tensor]:
    return {
        "ot_marginal_error": solution.marginal_error.mean(),
        "ot_partners": solution.partners.mean(),
        "ot_mass": solution.mass.detach().mean(),
    }
