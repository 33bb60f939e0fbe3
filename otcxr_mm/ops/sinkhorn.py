"""Entropic optimal transport for batches of small problems: balanced, unbalanced, debiased."""

import os
from dataclasses import dataclass, replace
from importlib.util import find_spec

import torch
from torch import Tensor

from .precision import full_precision
from .scaling import Scaled, scale, unroll

# Largest side of the problems that the fused kernel takes.
_FUSED = 256 if find_spec("triton") else 0


@dataclass(frozen=True)
class Transport:
    """Solution of B entropic transport problems between N and M atoms.

    Attributes:
        plan: Coupling T, (B, N, M).
        value: Objective, (B,): ``<T, C> - eps H(T)`` with ``H(T) = -sum T log T``. With `rho`, also
            ``rho KL(T 1 | a) + rho KL(T^T 1 | b) + eps (sum a - sum T)``, which tends to 0 in the balanced limit.
        cost: <T, C>, (B,).
        potentials: Dual potentials f (B, N) and g (B, M): T = exp((f + g - C) / eps).
        marginal_error: ``sum |T 1 - a| + sum |T^T 1 - b|``, (B,). Balanced: the distance from convergence.
            Unbalanced: how far the relaxed marginals lie from a and b.
        entropy: H(T), (B,); exp(H) is the effective number of matched pairs.
        mass: Transported mass, sum T, (B,).
    """

    plan: Tensor
    value: Tensor
    cost: Tensor
    potentials: tuple[Tensor, Tensor]
    marginal_error: Tensor
    entropy: Tensor
    mass: Tensor

    @property
    def partners(self) -> Tensor:
        """Effective number of partners per source atom, (B,); 1 for a permutation."""
        rows = self.plan.detach().sum(2)
        return torch.exp(self.entropy.detach() + torch.xlogy(rows, rows).sum(1))


def as_marginal(given: Tensor | None, cost: Tensor, dim: int) -> Tensor:
    """A marginal, (B, n) or (n,), as (B, n) in the dtype of `cost`; uniform with mass 1 if None."""
    shape = (cost.shape[0], cost.shape[dim])
    if not cost.is_floating_point():
        raise ValueError(f"cost must be of floating point, got {cost.dtype}: convert it with cost.float()")
    return cost.new_full(shape, 1 / shape[1]) if given is None else given.to(cost).expand(shape)


def _check(cost: Tensor, eps: float, rho: float | None, grad: str) -> None:
    if cost.dim() != 3 or 0 in cost.shape:
        raise ValueError(f"cost has the shape (B, N, M), none of them 0, got {tuple(cost.shape)}")
    if not eps > 0:
        raise ValueError(f"eps, the weight of the entropy, must be > 0, got {eps}; exact_plan has no entropy")
    if rho is not None and not rho > 0:
        raise ValueError(
            f"rho, the weight of the relaxed marginals, must be > 0, or None for balanced transport, got {rho}"
        )
    if grad not in ("envelope", "unroll"):
        raise ValueError(f"grad is 'envelope' or 'unroll', got {grad!r}")


def _x_log(x: Tensor, y: Tensor) -> Tensor:
    """Computes x log y, with a finite gradient where x or y has underflowed to 0."""
    return torch.xlogy(x, y.clamp_min(torch.finfo(y.dtype).tiny))


def _kl(x: Tensor, y: Tensor) -> Tensor:
    return (_x_log(x, x) - _x_log(x, y) - x + y).sum(-1)


def _envelope(cost: Tensor, a: Tensor, b: Tensor, eps: float, tau: float, n_iters: int) -> Scaled:
    """Computes :func:`.scaling.scale`, by the fused kernel where that is switched on and fits."""
    fits = cost.is_cuda and cost.dtype == torch.float32 and max(cost.shape[1:]) <= _FUSED
    if not fits or os.environ.get("OTCXR_FUSED_TRANSPORT") != "1":
        return scale(cost, a, b, eps, tau, n_iters)
    from .fused import fused_scale  # triton is slow to import

    return fused_scale(cost, a, b, eps, tau, n_iters)


@full_precision
def sinkhorn(
    cost: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    eps: float = 0.05,
    n_iters: int = 50,
    rho: float | None = None,
    grad: str = "envelope",
) -> Transport:
    """Solves B entropic optimal transport problems at once, with a fixed number of iterations.

    Minimises ``<T, C> - eps H(T)`` over the couplings T of a and b; with `rho`, minimises
    ``<T, C> - eps H(T) + rho KL(T 1 | a) + rho KL(T^T 1 | b)`` over all T >= 0. No value is read back to the host.

    On a GPU, the environment variable ``OTCXR_FUSED_TRANSPORT=1`` makes ``'envelope'`` solve problems up to 256 x 256
    in float32 by one Triton kernel instead of several hundred small ones. It is off by default because it has been
    tested in Triton's interpreter only, not yet on a GPU.

    Args:
        cost: Cost C, (B, N, M), of any sign and scale.
        a: Source marginal, (B, N) or (N,), non-negative; default: uniform with mass 1. Zeros are allowed.
        b: Target marginal, (B, M) or (M,), with the same total mass as `a` if balanced.
        eps: Weight of the entropy, in units of the cost.
        n_iters: Number of iterations; each updates both potentials. `marginal_error` tells whether they suffice.
            With ``'envelope'`` they are over-relaxed: 50 come about as close to convergence as several hundred plain
            ones.
        rho: Weight of the KL-relaxed marginals, in units of the cost; None: balanced.
        grad: ``'envelope'`` treats the plan as a constant: the gradient of `value` with respect to C, a and b is
            exact at convergence (for a and b along changes that keep their masses equal); the gradient of `cost` is a
            deliberate surrogate, <T, dC>. ``'unroll'`` differentiates through plain iterations: exact for any
            `n_iters`, but needs memory for all of them.

    Returns:
        The solution, float32 (float64 stays float64).

    Raises:
        ValueError: For a cost of another shape or of integers, eps <= 0, rho <= 0 or another `grad`.

    Sources: Cuturi, NeurIPS 2013 (balanced); Chizat et al., Math. Comp. 2018 (unbalanced); Thibault et al., Algorithms
    2021 (over-relaxation).
    """
    _check(cost, eps, rho, grad)
    a, b = as_marginal(a, cost, 1), as_marginal(b, cost, 2)
    tau = 1.0 if rho is None else rho / (rho + eps)
    with torch.set_grad_enabled(grad == "unroll" and torch.is_grad_enabled()):
        plan, entropy, u, v = (_envelope if grad == "envelope" else unroll)(cost, a, b, eps, tau, n_iters)
        rows, columns = plan.sum(2), plan.sum(1)
        mass = rows.sum(1)
        error = (rows - a).abs().sum(1) + (columns - b).abs().sum(1)
        f, g = eps * u, eps * v

    transported = (plan * cost).sum((1, 2))
    value = transported - eps * entropy
    if rho is not None:
        value = value + rho * (_kl(rows, a) + _kl(columns, b)) + eps * (a.sum(1) - mass)
    elif grad == "envelope":
        value = value + (f * (a - a.detach())).sum(1) + (g * (b - b.detach())).sum(1)
    return Transport(plan, value, transported, (f, g), error.detach(), entropy, mass)


def sinkhorn_divergence(xy: Transport, xx: Transport, yy: Transport) -> Transport:
    """Debiases a transport: OT(x, y) - OT(x, x) / 2 - OT(y, y) / 2.

    The self terms cancel the pull of the entropy towards the mean. For balanced transport with the costs of
    :func:`cost`, `value` is then >= 0 at convergence, and 0 for equal measures.

    Args:
        xy: Solution between x and y.
        xx: Solution between x and itself, with the same `eps` and `rho`.
        yy: Solution between y and itself.

    Returns:
        `xy` with `value` and `cost` debiased.

    Source: Feydy et al., AISTATS 2019.
    """
    return replace(xy, value=xy.value - (xx.value + yy.value) / 2, cost=xy.cost - (xx.cost + yy.cost) / 2)
