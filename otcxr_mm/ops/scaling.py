"""Sinkhorn's iteration for batches of small problems: over-relaxed, fast, and stable in float32.

Sources: Schmitzer, SISC 2019 (absorption of the scalings into the plan); Thibault et al., Algorithms 2021, and Lehmann
et al., Optimization Letters 2022 (over-relaxation); Hageman and Young, Applied Iterative Methods, 1981 (its estimate).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

# Iterations of the first block and of the others. A block starts with an exponential and a new relaxation.
_FIRST, _BLOCK = 4, 16
# Bounds of the scalings: they keep float32 from overflow, and what underflows before them does not matter after them.
_LOW, _HIGH = math.exp(-80.0), math.exp(30.0)
# Bounds of the relaxation: at 2 the iteration stops converging, and at 1 lerp makes a NaN of an infinite end.
_LEAST, _MOST = 1.001, 1.95


class Scaled(NamedTuple):
    """exp(-C / eps) scaled to the marginals: the plan, (B, N, M), its entropy, (B,), and potentials in units of eps."""

    plan: Tensor
    entropy: Tensor
    u: Tensor
    v: Tensor


def _next(
    scaling: Tensor, marginal: Tensor, sums: Tensor, tau: float, pull: Tensor, omega: Tensor | None = None
) -> Tensor:
    """Scaling of one side that restores its marginal; with a relaxation `omega`, beyond that."""
    end = marginal / sums
    if tau != 1:
        end = end.pow_(tau).mul_(pull)
    if omega is not None:
        # no step down by more than 4 times what restores the marginal, where lerp may reach 0
        end = torch.maximum(torch.lerp(scaling, end, omega), 0.25 * end)
    return end.clamp_(_LOW, _HIGH)


def _relaxation(omega: Tensor, rows: list[Tensor], columns: Tensor, a: Tensor) -> Tensor:
    """Best relaxation, (B, 1, 1), for the rate at which the last three row scalings of a block converge."""
    tiny, rounding = torch.finfo(a.dtype).tiny, 16 * torch.finfo(a.dtype).eps
    before, after = ((a * (y / x).log().square()).sum(2, keepdim=True) for x, y in zip(rows[-3:], rows[-2:]))
    rate = (after / before.clamp_min(tiny)).sqrt()
    # eta, the squared second singular value of the plan between its marginals: the rate of the plain iteration
    slowest = rate.clamp_min(1e-3).maximum(omega - 1)
    eta = ((slowest + omega - 1) / omega).square() / slowest
    best = (2 / (1 + (1 - eta).clamp_min(0).sqrt())).clamp(_LEAST, _MOST)
    free = torch.maximum(rows[-1].amax(2, keepdim=True), columns.amax(2, keepdim=True)) < _HIGH / 2
    return torch.where((rate < 1) & (before > rounding**2) & free, best, (_LEAST + omega) / 2)


def scale(cost: Tensor, a: Tensor, b: Tensor, eps: float, tau: float, n_iters: int) -> Scaled:
    """Scales exp(-C / eps) to the marginals by a fixed number of over-relaxed Sinkhorn iterations.

    The iterates T = diag(rows) plan diag(columns) are products of small vectors with a plan whose logarithm absorbs
    the scalings at the end of each block. The last half-step is plain, so that a balanced plan has the columns b.

    Args:
        cost: C, (B, N, M).
        a: Source marginal, (B, N).
        b: Target marginal, (B, M).
        eps: Weight of the entropy.
        tau: 1 for balanced transport, rho / (rho + eps) for relaxed marginals.
        n_iters: Number of iterations; each updates the rows, then the columns.

    Returns:
        The scaled plan.
    """
    tiny = torch.finfo(a.dtype).tiny
    # row vectors: their product with a matrix is several times faster than that of a matrix with a column
    a, b = a.clamp_min(tiny)[:, None], b.clamp_min(tiny)[:, None]
    log_plan = cost * (-1 / eps)
    # an entry of 1 in each row and each column keeps their sums from underflow
    u = log_plan.amax(2)[:, None].neg_()
    log_plan.add_(u.transpose(1, 2))
    v = log_plan.amax(1, keepdim=True).neg_()
    plan = log_plan.add_(v).exp()
    omega = None
    rows, columns = torch.ones_like(a), torch.ones_like(b)
    stops = [*range(_FIRST, n_iters, _BLOCK), n_iters]
    for start, stop in zip([0, *stops], stops):
        if start > _FIRST:
            u, v = _absorb(log_plan, rows, columns, u, v)
            torch.exp(log_plan, out=plan).clamp_max_(_HIGH)
            rows, columns = torch.ones_like(a), torch.ones_like(b)
        pulls = [None if tau == 1 else ((tau - 1) * x).clamp_(-80, 80).exp_() for x in (u, v)]
        transposed = plan.transpose(1, 2)
        history = [rows]
        for i in range(start, stop):
            rows = _next(rows, a, torch.bmm(columns, transposed), tau, pulls[0], omega)
            columns = _next(columns, b, torch.bmm(rows, plan), tau, pulls[1], omega if i + 1 < n_iters else None)
            history.append(rows)
        if stop < n_iters:
            omega = _relaxation(torch.ones_like(a[:, :, :1]) if omega is None else omega, history, columns, a)
    u, v = _absorb(log_plan, rows, columns, u, v)
    plan.mul_(rows.transpose(1, 2)).mul_(columns)
    return Scaled(plan, -log_plan.mul_(plan).sum((1, 2)), u[:, 0], v[:, 0])


def _absorb(log_plan: Tensor, rows: Tensor, columns: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Moves the scalings into the logarithm of the plan, in place, and into the potentials."""
    log_rows, log_columns = rows.log(), columns.log()
    log_plan.add_(log_rows.transpose(1, 2)).add_(log_columns)
    return u + log_rows, v + log_columns


def unrolled(cost: Tensor, a: Tensor, b: Tensor, eps: float, tau: float, n_iters: int) -> Scaled:
    """The plain iteration in the log domain, with exact gradients after any number of iterations; see :func:`scale`."""
    tiny = torch.finfo(a.dtype).tiny
    log_a, log_b = a.clamp_min(tiny).log(), b.clamp_min(tiny).log()
    u, v = torch.zeros_like(a), torch.zeros_like(b)
    kernel = -cost / eps
    for _ in range(n_iters):
        u = tau * (log_a - torch.logsumexp(kernel + v[:, None, :], dim=2))
        v = tau * (log_b - torch.logsumexp(kernel + u[:, :, None], dim=1))
    log_plan = kernel + u[:, :, None] + v[:, None, :]
    plan = log_plan.exp()
    return Scaled(plan, -(plan * log_plan).sum((1, 2)), u, v)
