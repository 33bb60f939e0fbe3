"""Optimal transport between the atoms of two viewpoints as a loss."""

from dataclasses import replace

import torch
from mmengine.model import BaseModule
from torch import Tensor

from ...ops import Transport, cost, sinkhorn
from ...registry import MODELS


@MODELS.register_module()
class TransportLoss(BaseModule):
    """Weighted transport cost between B pairs of discrete measures.

    Args:
        metric: ``'sqeuclidean'`` (divided by D, on the scale of the statistics) or ``'cosine'``.
        eps: Weight of the entropy. An attribute, so that a schedule may change it.
        relative_eps: Whether `eps` counts in units of each problem's mean cost (a constant to the gradient).
        n_iters: Sinkhorn iterations.
        rho: Weight of relaxed marginals, in the unit of `eps`; None: balanced.
        debiased: Sinkhorn divergence instead of the biased cost; the self terms never see a prior.
        objective: ``'cost'``: <T, C>; ``'value'``: with the entropy. With ``grad='envelope'`` their gradients are
            equal: T.
        grad: ``'envelope'`` or ``'unroll'``, see :func:`otcxr_mm.ops.sinkhorn`.
        prior_weight: lambda: the plan is that of C + lambda mean(C) prior; the loss counts C alone. An attribute, so
            that a schedule may anneal it.
        loss_weight: alpha. 25 for squared Euclidean cost (VICReg's invariance term); about 50 for cosine, since at unit
            variance the squared distance is about 2 (1 - cos).

    Raises:
        ValueError: For an unknown choice, or one that another excludes.
    """

    def __init__(
        self,
        metric: str = "sqeuclidean",
        eps: float = 0.1,
        relative_eps: bool = True,
        n_iters: int = 50,
        rho: float | None = None,
        debiased: bool = False,
        objective: str = "cost",
        grad: str = "envelope",
        prior_weight: float = 1.0,
        loss_weight: float = 25.0,
    ) -> None:
        super().__init__()
        if objective not in ("cost", "value"):
            raise ValueError(f"TransportLoss: objective is 'cost' or 'value', got {objective!r}")
        if not eps > 0:
            raise ValueError(f"TransportLoss: eps, the weight of the entropy, must be > 0, got {eps}")
        if prior_weight < 0:
            raise ValueError(f"TransportLoss: prior_weight must be >= 0, got {prior_weight}")
        self.metric, self.eps, self.relative_eps, self.n_iters = metric, eps, relative_eps, n_iters
        self.rho, self.debiased, self.objective, self.grad = rho, debiased, objective, grad
        self.prior_weight, self.loss_weight = prior_weight, loss_weight

    def solve(
        self, x: Tensor, y: Tensor, a: Tensor, b: Tensor, prior: Tensor | None = None, matching: str = "transport"
    ) -> Transport:
        """The transport between atoms x (B, N, D) of mass a (B, N) and y (B, M, D) of mass b (B, M).

        Args:
            x: Source atoms.
            y: Target atoms.
            a: Source marginal.
            b: Target marginal.
            prior: Cost of pairs that the geometry makes unlikely, (B, N, M), in units of the mean cost.
            matching: ``'transport'``; ``'geometry'``: the plan is that of the prior alone, eps in its unit;
                ``'index'``: it is the diagonal, N = M, with the mean of a and b.

        Returns:
            The solution; its `cost` is <T, C> with the ground cost alone.

        Raises:
            ValueError: For another `matching`, or ``'geometry'`` without a prior.
        """
        if matching not in ("transport", "geometry", "index"):
            raise ValueError(f"TransportLoss: matching is 'transport', 'geometry' or 'index', got {matching!r}")
        if matching == "geometry" and prior is None:
            raise ValueError("TransportLoss: matching='geometry' needs a prior")
        ground = cost(x, y, self.metric)
        if matching == "index":
            return _on_diagonal(ground, a, b)
        if matching == "geometry":
            solution = self._transport(prior, torch.ones_like(prior[:, 0, 0]), a, b)
            transported = (solution.plan.detach() * ground).sum((1, 2))
            return replace(solution, cost=transported, value=transported)
        mean = ground.detach().mean((1, 2)).clamp_min(torch.finfo(ground.dtype).tiny)
        # each problem is solved in units of its own mean cost, and scaled back
        unit = mean if self.relative_eps else torch.ones_like(mean)
        fused = ground
        if prior is not None and self.prior_weight:
            fused = ground + self.prior_weight * mean[:, None, None] * prior
        solution = self._transport(fused, unit, a, b)
        transported = (solution.plan * ground).sum((1, 2))
        value = solution.value - solution.cost + transported
        if self.debiased:
            xx = self._transport(cost(x, x, self.metric), unit, a, a)
            yy = self._transport(cost(y, y, self.metric), unit, b, b)
            transported = transported - (xx.cost + yy.cost) / 2
            value = value - (xx.value + yy.value) / 2
        return replace(solution, cost=transported, value=value)

    def _transport(self, ground: Tensor, unit: Tensor, a: Tensor, b: Tensor) -> Transport:
        solution = sinkhorn(
            ground / unit[:, None, None],
            a,
            b,
            eps=self.eps,
            n_iters=self.n_iters,
            rho=self.rho,
            grad=self.grad,
        )
        return replace(solution, cost=solution.cost * unit, value=solution.value * unit)

    def forward(self, solution: Transport) -> Tensor:
        """The weighted mean over the batch of what `objective` names, a scalar.

        Args:
            solution: Of :meth:`solve`.
        """
        return self.loss_weight * getattr(solution, self.objective).mean()

    def on_plan(self, solution: Transport, x: Tensor, y: Tensor) -> Tensor:
        """The weighted mean over the batch of <T, C(x, y)> with the plan of another solution as a constant.

        Args:
            solution: Gives the plan T (B, N, M).
            x: Atoms (B, N, D).
            y: Atoms (B, M, D).

        Returns:
            A scalar, weighted, with gradient to x and y alone.
        """
        return self.loss_weight * (solution.plan.detach() * cost(x, y, self.metric)).sum((1, 2)).mean()


def _on_diagonal(ground: Tensor, a: Tensor, b: Tensor) -> Transport:
    mass = (a + b) / 2
    transported = (ground.diagonal(dim1=1, dim2=2) * mass).sum(1)
    entropy = -torch.xlogy(mass, mass).sum(1)
    zero = torch.zeros_like(a)
    return Transport(
        torch.diag_embed(mass), transported, transported, (zero, zero), (a - b).abs().sum(1), entropy, mass.sum(1)
    )
