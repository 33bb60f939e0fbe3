"""L_OT: optimal transport between the tokens of two views as a loss."""

from dataclasses import replace

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.functional import one_hot

from ...ops import Transport, cost, sinkhorn, sinkhorn_divergence
from ...registry import MODELS
from ..choices import check_choice
from ..tokens import Atoms


@MODELS.register_module()
class TransportLoss(BaseModule):
    """L_OT(q_s, q_t): the cost of transporting the tokens of the source view to those of the target view.

    The paper aligns the dense features of both views as an optimal-transport problem. The ground cost, its entropic
    regularisation, the relaxed marginals and the prior on the plan are our reading.

    Args:
        metric: Ground cost: ``'sqeuclidean'`` (divided by D, the scale of the statistics) or ``'cosine'``.
        eps: Weight of the entropy. An attribute, so that a schedule can change it.
        relative_eps: Whether `eps` and `rho` are in units of each problem's mean cost, detached from the gradient.
        n_iters: Number of Sinkhorn iterations; those of `grad="unroll"` are plain, and need twice as many.
        rho: Weight of the relaxed marginals; None: balanced.
        debiased: Whether to use the Sinkhorn divergence. Its self terms do not use the prior.
        objective: ``'cost'``: <T, C>; ``'value'``: with the entropy. The gradient of both is T if
            ``grad='envelope'``.
        grad: ``'envelope'`` or ``'unroll'``, see :func:`otcxr_mm.ops.sinkhorn`.
        prior_weight: lambda: the plan is optimal for C + lambda mean(C) prior, the loss uses C alone. An attribute,
            so that a schedule can anneal it.
        loss_weight: alpha: 25 for the squared Euclidean cost (VICReg's invariance term); about 50 for cosine, since
            at unit variance the squared distance is about 2 (1 - cos).

    Raises:
        ValueError: For an unknown objective.
    """

    def __init__(
        self,
        metric: str = "sqeuclidean",
        eps: float = 0.1,
        relative_eps: bool = True,
        n_iters: int = 25,
        rho: float | None = None,
        debiased: bool = False,
        objective: str = "cost",
        grad: str = "envelope",
        prior_weight: float = 1.0,
        loss_weight: float = 25.0,
    ) -> None:
        super().__init__()
        check_choice("TransportLoss", "objective", objective, ("cost", "value"))
        self.metric, self.eps, self.relative_eps, self.n_iters = metric, eps, relative_eps, n_iters
        self.rho, self.debiased, self.objective, self.grad = rho, debiased, objective, grad
        self.prior_weight, self.loss_weight = prior_weight, loss_weight

    def forward(
        self, source: Atoms, target: Atoms, prior: Tensor | None = None, matching: str = "transport"
    ) -> tuple[Tensor, Transport]:
        """Transports the source atoms to the target atoms.

        Args:
            source: N atoms per problem.
            target: M atoms per problem.
            prior: Cost of pairs that the geometry makes unlikely, (B, N, M), in units of the mean cost.
            matching: ``'transport'``; or for comparison: ``'geometry'``: the plan is optimal for the prior alone, with
                `eps` in its units; ``'softmax'``: each atom's mass is spread by a softmax of the plan's cost / eps,
                without regard to the masses it arrives at; ``'nearest'``: it all goes to the atom of least cost (both
                are the mean over both directions); ``'index'``: each atom goes to the one of the same index (N = M),
                with the mean of both masses.

        Returns:
            The weighted mean of the objective over the batch, and the solution, whose `cost` is <T, C> with the ground
            cost C alone.
        """
        ground = cost(source.points, target.points, self.metric)
        a, b = source.mass, target.mass
        if matching == "index":
            solution = _of_plan(torch.diag_embed((a + b) / 2), ground, a, b)
        elif matching == "geometry":
            solution = _with_cost(self._solve(prior, torch.ones_like(prior[:, 0, 0]), a, b), ground)
        elif matching in ("softmax", "nearest"):
            plan_cost, unit = self._plan_cost(ground, prior)
            there = _one_sided(plan_cost, a, self.eps * unit, matching)
            back = _one_sided(plan_cost.mT, b, self.eps * unit, matching).mT
            solution = _of_plan((there + back) / 2, ground, a, b)
        else:
            solution = self._transport(source, target, ground, prior)
        return self.loss_weight * getattr(solution, self.objective).mean(), solution

    def on_plan(self, plan: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The loss <T, C(x, y)> of a given plan, which is detached from the gradient.

        Args:
            plan: T, (B, N, M).
            x: Source points, (B, N, D).
            y: Target points, (B, M, D).

        Returns:
            The weighted mean over the batch, a scalar.
        """
        return self.loss_weight * (plan.detach() * cost(x, y, self.metric)).sum((1, 2)).mean()

    def _plan_cost(self, ground: Tensor, prior: Tensor | None) -> tuple[Tensor, Tensor]:
        """The cost that the plan is optimal for, (B, N, M), and the unit of `eps`, (B,)."""
        mean = ground.detach().mean((1, 2)).clamp_min(torch.finfo(ground.dtype).tiny)
        unit = mean if self.relative_eps else torch.ones_like(mean)
        plan_cost = ground
        if prior is not None and self.prior_weight:
            plan_cost = ground + self.prior_weight * mean[:, None, None] * prior
        return plan_cost, unit

    def _transport(self, source: Atoms, target: Atoms, ground: Tensor, prior: Tensor | None) -> Transport:
        plan_cost, unit = self._plan_cost(ground, prior)
        solution = _with_cost(self._solve(plan_cost, unit, source.mass, target.mass), ground)
        if not self.debiased:
            return solution
        self_terms = (self._solve(cost(x, x, self.metric), unit, mass, mass) for x, mass in (source, target))
        return sinkhorn_divergence(solution, *self_terms)

    def _solve(self, plan_cost: Tensor, unit: Tensor, a: Tensor, b: Tensor) -> Transport:
        """Solves each problem in its own unit of cost, and scales the solution back."""
        scaled = plan_cost / unit[:, None, None]
        solution = sinkhorn(scaled, a, b, eps=self.eps, n_iters=self.n_iters, rho=self.rho, grad=self.grad)
        return replace(solution, cost=solution.cost * unit, value=solution.value * unit)


def _with_cost(solution: Transport, ground: Tensor) -> Transport:
    """The same plan, with `cost` and `value` for the ground cost instead of the cost it is optimal for."""
    transported = (solution.plan * ground).sum((1, 2))
    return replace(solution, cost=transported, value=solution.value - solution.cost + transported)


def _one_sided(plan_cost: Tensor, mass: Tensor, eps: Tensor, kind: str) -> Tensor:
    """A plan that keeps the masses of its rows alone, (B, N, M)."""
    if kind == "nearest":
        share = one_hot(plan_cost.detach().argmin(2), plan_cost.shape[2]).to(plan_cost)
    else:
        share = torch.softmax(-plan_cost.detach() / eps[:, None, None], 2)
    return mass[:, :, None] * share


def _of_plan(plan: Tensor, ground: Tensor, a: Tensor, b: Tensor) -> Transport:
    """A plan that solves no transport problem, as a solution without entropy in its value."""
    transported = (plan * ground).sum((1, 2))
    error = (plan.sum(2) - a).abs().sum(1) + (plan.sum(1) - b).abs().sum(1)
    return Transport(
        plan=plan,
        value=transported,
        cost=transported,
        potentials=(torch.zeros_like(a), torch.zeros_like(b)),
        marginal_error=error,
        entropy=-torch.xlogy(plan, plan).sum((1, 2)),
        mass=plan.sum((1, 2)),
    )
