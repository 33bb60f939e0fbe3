"""Sinkhorn's iteration for batches of small problems: over-relaxed, fast, and stable in float32.

Sources: Schmitzer, SISC 2019 (absorption of the scalings into the potentials); Thibault et al., Algorithms 2021, and
Lehmann et al., Optimization Letters 2022 (over-relaxation); Hageman and Young, Applied Iterative Methods, 1981
(estimate of the relaxation).
"""

import math

import torch
from torch import Tensor

# Iterations between two absorptions, each with a new estimate of the relaxation: the first block, and all others.
_FIRST, _BLOCK = 4, 12
# Bounds of a scaling: float32 must not overflow, and what underflowed before them must not matter after them.
_LOW, _HIGH = math.exp(-80.0), math.exp(30.0)
# Nearly 2, where over-relaxation stops converging.
_MOST = 1.95


def _update(
    scaling: Tensor, marginal: Tensor, pull: Tensor | None, tau: float, sums: Tensor, omega: Tensor | float
) -> Tensor:
    """One side's next scaling: beyond the one that restores the marginal, by the relaxation `omega` in [1, 2)."""
    target = marginal / sums
    if pull is not None:
        target = target.pow_(tau).mul_(pull)
    target = target.clamp_(_LOW, _HIGH)
    return torch.maximum(torch.lerp(scaling, target, omega), target / 4)


def _relaxation(omega: Tensor, rows: list[Tensor], a: Tensor) -> Tensor:
    """The best relaxation, (B, 1), for the rate at which the last three row scalings converge."""
    before, after = ((a * (y / x).log().square()).sum(1, keepdim=True) for x, y in zip(rows[-3:], rows[-2:]))
    rate = (after / before.clamp_min(torch.finfo(a.dtype).tiny)).sqrt()
    slowest = rate.clamp(min=1e-3).maximum(omega - 1)
    # squared second singular value of the plan between its marginals
    eta = ((slowest + omega - 1) / omega).square() / slowest
    best = (2 / (1 + (1 - eta).clamp_min(0).sqrt())).clamp(1, _MOST)
    resolved = before > (16 * torch.finfo(a.dtype).eps) ** 2
    return torch.where((rate < 1) & resolved, best, (1 + omega) / 2)


def iterate(
    log_plan: Tensor, a: Tensor, b: Tensor, tau: float, n_iters: int
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Scales exp(-C / eps) to the marginals by a fixed number of iterations.
    """
    tiny = torch.finfo(a.dtype).tiny
    a, b = a.clamp_min(tiny), b.clamp_min(tiny)
    u, v = torch.zeros_like(a), torch.zeros_like(b)
    omega = torch.ones_like(a[:, :1])
    done, size, dim = 0, _FIRST, 2
    while True:
        n = min(size, n_iters - done)
        # rows and columns in turn get an entry of 1, so that none underflows
        shift = log_plan.amax(dim, keepdim=True)
        plan = log_plan.sub_(shift).exp()
        transposed = plan.transpose(1, 2)
        rows, columns = torch.ones_like(a), torch.ones_like(b)
        if dim == 2:
            u, rows = u - shift[:, :, 0], shift[:, :, 0].exp().clamp_(_LOW, _HIGH)
        else:
            v, columns = v - shift[:, 0], shift[:, 0].exp().clamp_(_LOW, _HIGH)
        pulls = [None if tau == 1 else ((tau - 1) * x).clamp_(-80, 80).exp_() for x in (u, v)]
        history = [rows]
        for i in range(n):
            # a row vector times a matrix is several times faster than a matrix times a column
            sums = torch.bmm(columns[:, None, :], transposed)[:, 0]
            rows = _update(rows, a, pulls[0], tau, sums, omega)
            history.append(rows)
            sums = torch.bmm(rows[:, None, :], plan)[:, 0]
            columns = _update(columns, b, pulls[1], tau, sums, omega if i + 1 < n else 1.0)
        log_rows, log_columns = rows.log(), columns.log()
        u, v = u + log_rows, v + log_columns
        log_plan.add_(log_rows[:, :, None]).add_(log_columns[:, None, :])
        done += n
        if done >= n_iters:
            return plan.mul_(rows[:, :, None]).mul_(columns[:, None, :]), log_plan, (u, v)
        omega = _relaxation(omega, history, a)
        size, dim = _BLOCK, 3 - dim


def unrolled(
    kernel: Tensor, a: Tensor, b: Tensor, tau: float, n_iters: int
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """The plain iteration in the log domain, whose gradients are exact after any number of iterations."""
    tiny = torch.finfo(a.dtype).tiny
    log_a, log_b = a.clamp_min(tiny).log(), b.clamp_min(tiny).log()
    u, v = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(n_iters):
        u = tau * (log_a - torch.logsumexp(kernel + v[:, None, :], dim=2))
        v = tau * (log_b - torch.logsumexp(kernel + u[:, :, None], dim=1))
    log_plan = kernel + u[:, :, None] + v[:, None, :]
    return log_plan.exp(), log_plan, (u, v)
