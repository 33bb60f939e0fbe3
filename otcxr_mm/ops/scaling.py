"""Sinkhorn's iteration for batches of small problems: fast, and stable in float32.

Source: Schmitzer, SISC 2019 (absorption of the scalings into the potentials).
"""

import math

import torch
from torch import Tensor

Potentials = tuple[Tensor, Tensor]

# The first iterations move the potentials most and the last one makes the result exact: they stay in the log domain.
_WARM_UP, _POLISH = 2, 1
# The others are matrix-vector products with the plan, which is recomputed after this many.
_BLOCK = 16
# Within a block, potentials move by at most this (in units of eps), so that float32 neither overflows nor underflows.
_REACH = 30.0


def _log_steps(kernel: Tensor, log_a: Tensor, log_b: Tensor, u: Tensor, v: Tensor, tau: float, n: int) -> Potentials:
    for _ in range(n):
        u = tau * (log_a - torch.logsumexp(kernel + v[:, None, :], dim=2))
        v = tau * (log_b - torch.logsumexp(kernel + u[:, :, None], dim=1))
    return u, v


def _kernel_steps(
    kernel: Tensor, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], u: Tensor, v: Tensor, tau: float, n: int
) -> Potentials:
    """The iterates of `_log_steps`, each by two products with exp(kernel + u + v) instead of two exponentials.

    `a` and `b` hold the marginals and their logarithms. Later steps restore what the bounds cut off: the bounds may
    delay convergence, but never produce a NaN.
    """
    plan = torch.add(kernel, u[:, :, None]).add_(v[:, None, :]).clamp_max_(_REACH).exp_()
    transposed = plan.transpose(1, 2)

    def scaling(marginal: tuple[Tensor, Tensor], potential: Tensor, sums: Tensor) -> Tensor:
        if tau == 1:
            return (marginal[0] / sums).clamp_(math.exp(-_REACH), math.exp(_REACH))
        sums = sums.clamp_min_(torch.finfo(sums.dtype).tiny)
        return (tau * (marginal[1] - sums.log_() + potential) - potential).clamp_(-_REACH, _REACH).exp_()

    rows, columns = torch.ones_like(u), torch.ones_like(v)
    for _ in range(n):
        # a row vector times a matrix is several times faster than a matrix times a column
        rows = scaling(a, u, torch.bmm(columns[:, None, :], transposed)[:, 0])
        columns = scaling(b, v, torch.bmm(rows[:, None, :], plan)[:, 0])
    return u + rows.log(), v + columns.log()


def iterate(kernel: Tensor, a: Tensor, b: Tensor, tau: float, n_iters: int, differentiable: bool) -> Potentials:
    """Scaled dual potentials u and v after a fixed number of Sinkhorn iterations from 0: T = exp(kernel + u + v).

    Args:
        kernel: -C / eps, (B, N, M).
        a: Source marginal, (B, N).
        b: Target marginal, (B, M).
        tau: 1 for balanced transport, rho / (rho + eps) for relaxed marginals.
        n_iters: Number of iterations; each updates u, then v.
        differentiable: Whether to stay in the log domain throughout, where gradients are exact.

    Returns:
        u, (B, N), and v, (B, M).
    """
    tiny = torch.finfo(kernel.dtype).tiny
    a, b = a.clamp_min(tiny), b.clamp_min(tiny)
    log_a, log_b = a.log(), b.log()
    u, v = torch.zeros_like(a), torch.zeros_like(b)
    first = n_iters if differentiable else min(n_iters, _WARM_UP)
    last = min(n_iters - first, _POLISH)
    u, v = _log_steps(kernel, log_a, log_b, u, v, tau, first)
    for done in range(first, n_iters - last, _BLOCK):
        n = min(_BLOCK, n_iters - last - done)
        u, v = _kernel_steps(kernel, (a, log_a), (b, log_b), u, v, tau, n)
    return _log_steps(kernel, log_a, log_b, u, v, tau, last)
