"""Exact transport by POT, for evaluation and pictures: slow, on the CPU, without gradient."""

import torch
from torch import Tensor

from .sinkhorn import as_marginal


@torch.no_grad()
def exact_plan(cost: Tensor, a: Tensor | None = None, b: Tensor | None = None) -> Tensor:
    """Couplings of minimal cost, without entropy.

    Args:
        cost: Cost, (B, N, M).
        a: Source marginal, (B, N) or (N,); default: uniform with mass 1.
        b: Target marginal, (B, M) or (M,), with the same total mass.

    Returns:
        Plans (B, N, M) with the dtype and device of `cost`; at most N + M - 1 entries of each are not 0.

    Source: Bonneel et al., SIGGRAPH Asia 2011 (network simplex), as implemented by POT.
    """
    import ot  # slow to import

    problems = [t.double().cpu().numpy() for t in (as_marginal(a, cost, 1), as_marginal(b, cost, 2), cost)]
    plans = [ot.emd(ai / ai.sum(), bi / bi.sum(), ci) * ai.sum() for ai, bi, ci in zip(*problems, strict=True)]
    return torch.stack([torch.as_tensor(plan) for plan in plans]).to(cost)
