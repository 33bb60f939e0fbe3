"""Batched solvers beside POT's that the benchmark of transport compares with where they are installed.

pip install "geomloss>=0.3" ott-jax "jax[cpu]"
"""

import functools
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor


def geomloss(c: Tensor, eps: float, n: int) -> tuple[Tensor, Tensor]:
    """Symmetric updates in the log domain, with eps scaling."""
    from geomloss import ot

    result = ot.solve_batch(c, reg=eps, max_iter=n)
    return result.plan, result.value


@functools.cache
def _compiled(eps: float, n: int) -> Callable[[Any], tuple[Any, Any]]:
    import jax
    from ott.geometry.geometry import Geometry
    from ott.problems.linear.linear_problem import LinearProblem
    from ott.solvers.linear.sinkhorn import Sinkhorn

    # a single test of convergence, at the end; the kernel domain is the faster one
    solver = Sinkhorn(lse_mode=False, threshold=0.0, inner_iterations=n, min_iterations=n, max_iterations=n)

    def solve(c: Any) -> tuple[Any, Any]:
        result = solver(LinearProblem(Geometry(cost_matrix=c, epsilon=eps)))
        return result.matrix, result.reg_ot_cost

    return jax.jit(jax.vmap(solve))


def ott(c: Tensor, eps: float, n: int) -> tuple[Tensor, Tensor]:
    """Compiled for this eps and number of iterations; the first run compiles. Carries no gradient to torch."""
    import jax

    plan, value = jax.block_until_ready(_compiled(eps, n)(jax.dlpack.from_dlpack(c.detach().contiguous())))
    return torch.from_dlpack(plan), torch.from_dlpack(value)


def peers() -> dict[str, Callable[[Tensor, float, int], tuple[Tensor, Tensor]]]:
    """The solvers that are installed."""
    return {solver.__name__: solver for solver in (geomloss, ott) if find_spec(solver.__name__)}
