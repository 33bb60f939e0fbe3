"""Sinkhorn's iteration for batches of small problems: over-relaxed, fast, and stable in float32.

Sources: Schmitzer, SISC 2019 (absorption of the scalings); Thibault et al., Algorithms 2021, and Lehmann et al.,
Optimization Letters 2022 (over-relaxation); Hageman and Young, Applied Iterative Methods, 1981 (its estimate).
"""

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm

# Plain iterations, after which the relaxation is estimated for the first time; iterations between two estimates.
_PLAIN, _BLOCK = 5, 16
# Bounds of the scalings: they keep float32 from overflow, and what has underflowed before does not matter after them.
_LOW, _HIGH = 2.0**-115, 2.0**43
# Logarithms have the base 2: exp2 is several times faster than exp on CPUs, above all where it underflows.
_LN2 = math.log(2.0)
# Bounds of the relaxation: at 2 the iteration stops converging, and at 1 lerp makes a NaN of an infinite end.
_LEAST, _MOST = 1.001, 1.95


class Scaled(NamedTuple):
    """A plan, (B, N, M), its entropy, (B,), and its potentials u, (B, N), and v, (B, M): T = exp(-C / eps + u + v)."""

    plan: Tensor
    entropy: Tensor
    u: Tensor
    v: Tensor


def _update(
    scaling: Tensor, marginal: Tensor, sums: Tensor, tau: float, potential: Tensor, omega: Tensor | None
) -> Tensor:
    """The scaling of one side that restores its marginal; with a relaxation, as far beyond it as `omega` says."""
    end = marginal / sums
    if tau != 1:
        end = end.pow_(tau).mul_(((tau - 1) * potential).clamp_(-115, 115).exp2_())
    if omega is not None:
        # downwards by a factor of 4 at most, since lerp would soon reach 0; upwards it is always safe
        end = torch.maximum(torch.lerp(scaling, end, omega), 0.25 * end)
    return end.clamp_(_LOW, _HIGH)


def _relaxation(omega: Tensor | None, history: list[Tensor], columns: Tensor) -> Tensor:
    """Best relaxation, (B, 1, 1), for the rate at which the last row scalings converged with the relaxation `omega`."""
    before, after = (vector_norm((y / x).log_(), dim=2, keepdim=True) for x, y in pairwise(history[-3:]))
    rate = after / before.clamp_min(torch.finfo(after.dtype).tiny)
    omega = torch.ones_like(rate) if omega is None else omega
    # eta, the squared second singular value of the plan between its marginals, is the rate of the plain iteration
    slowest = rate.maximum(omega - 1).clamp_min_(1e-3)
    eta = ((slowest + omega - 1) / omega).square_() / slowest
    best = (2 / (1 + (1 - eta).clamp_min_(0).sqrt_())).clamp_(_LEAST, _MOST)
    # a rate says nothing while scalings are at their bounds, nor once they change by rounding alone
    bounded = torch.maximum(history[-1].amax(2, keepdim=True), columns.amax(2, keepdim=True)) > _HIGH / 2
    settled = before < 64 * torch.finfo(before.dtype).eps
    return torch.where((rate >= 1) | bounded | settled, (_LEAST + omega) / 2, best)


def _absorb(log_plan: Tensor, rows: Tensor, columns: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Moves the scalings into the logarithm of the plan, in place, and into the potentials u and v."""
    log_rows, log_columns = rows.log2(), columns.log2()
    log_plan.add_(log_rows.transpose(1, 2)).add_(log_columns)
    return u + log_rows, v + log_columns


def scale(cost: Tensor, a: Tensor, b: Tensor, eps: float, tau: float, n_iters: int) -> Scaled:
    """Scales exp(-C / eps) to the marginals by over-relaxed iterations.

    The iterates are diag(rows) plan diag(columns): an iteration costs two products of the plan with a vector. The
    relaxation of each problem comes from its own rate of convergence. The last half-step is plain, so that the columns
    of a balanced plan sum to b. No value is read back to the host.

    Args:
        cost: Cost C, (B, N, M).
        a: Source marginal, (B, N).
        b: Target marginal, (B, M).
        eps: Weight of the entropy.
        tau: 1 for balanced transport, rho / (rho + eps) for relaxed marginals.
        n_iters: Number of iterations; each updates the rows, then the columns.

    Returns:
        The solution.
    """
    # row vectors: their product with a matrix is several times faster than that of a matrix with a column
    a, b = (x.clamp_min(torch.finfo(x.dtype).tiny)[:, None] for x in (a, b))
    log_plan = cost * (-1 / (eps * _LN2))
    # an entry of 1 in each row and each column keeps all sums from underflow
    u = -log_plan.amax(2)[:, None]
    v = -log_plan.add_(u.transpose(1, 2)).amax(1, keepdim=True)
    plan = log_plan.add_(v).exp2()
    rows, columns, omega = torch.ones_like(a), torch.ones_like(b), None
    stops = [0, *range(_PLAIN, n_iters, _BLOCK), n_iters]
    for start, stop in pairwise(stops):
        if start > _PLAIN:
            u, v = _absorb(log_plan, rows, columns, u, v)
            plan = torch.exp2(log_plan, out=plan).clamp_max_(_HIGH)
            rows, columns = torch.ones_like(a), torch.ones_like(b)
        history = [rows]
        for i in range(start, stop):
            rows = _update(rows, a, torch.bmm(columns, plan.transpose(1, 2)), tau, u, omega)
            last = i + 1 == n_iters
            columns = _update(columns, b, torch.bmm(rows, plan), tau, v, None if last else omega)
            history.append(rows)
        if stop < n_iters:
            omega = _relaxation(omega, history, columns)
    u, v = _absorb(log_plan, rows, columns, u, v)
    plan.mul_(rows.transpose(1, 2)).mul_(columns)
    return Scaled(plan, -_LN2 * log_plan.mul_(plan).sum((1, 2)), _LN2 * u[:, 0], _LN2 * v[:, 0])


def unroll(cost: Tensor, a: Tensor, b: Tensor, eps: float, tau: float, n_iters: int) -> Scaled:
    """As :func:`scale`, by plain iterations in the log domain from u = v = 0, whose gradient is that of the result."""
    log_a, log_b = (x.clamp_min(torch.finfo(x.dtype).tiny).log() for x in (a, b))
    u, v = torch.zeros_like(a), torch.zeros_like(b)
    kernel = -cost / eps
    for _ in range(n_iters):
        u = tau * (log_a - torch.logsumexp(kernel + v[:, None, :], dim=2))
        v = tau * (log_b - torch.logsumexp(kernel + u[:, :, None], dim=1))
    log_plan = kernel + u[:, :, None] + v[:, None, :]
    plan = log_plan.exp()
    return Scaled(plan, -(plan * log_plan).sum((1, 2)), u, v)
