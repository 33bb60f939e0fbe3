"""The fused kernel in Triton's interpreter, on the CPU; tests/test_cuda.py runs it on a GPU."""

import os
import subprocess
import sys
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from otcxr_mm.ops.scaling import Scaled, scale

pytest.importorskip("triton")

# triton must be imported with TRITON_INTERPRET=1: a process of its own
PROGRAM = """
import sys, torch
from otcxr_mm.ops.fused import fused_scale
torch.set_num_threads(1)
problems = torch.load(sys.argv[1])
torch.save({name: tuple(fused_scale(*problem)) for name, problem in problems.items()}, sys.argv[2])
"""


class Problem(NamedTuple):
    """The arguments of `scale`."""

    cost: Tensor
    a: Tensor
    b: Tensor
    eps: float
    tau: float
    n_iters: int


def problem(n: int, m: int, eps: float = 0.05, tau: float = 1.0, n_iters: int = 25, zeros: bool = False) -> Problem:
    generator = torch.Generator().manual_seed(0)
    c, a, b = (torch.rand(3, *shape, generator=generator) for shape in ((n, m), (n,), (m,)))
    a, b = a + 0.1, b + 0.1
    if zeros:
        a[:, 1], b[:, 0] = 0, 0
    return Problem(c, a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True), eps, tau, n_iters)


PROBLEMS = {
    "balanced": problem(49, 49, n_iters=22),  # with two estimates of the relaxation
    "converged": problem(5, 17, eps=0.5, n_iters=40),
    "converged, relaxed": problem(5, 17, eps=0.2, tau=0.8, n_iters=30),
    "one iteration": problem(5, 5, n_iters=1),
    "relaxed marginals": problem(17, 5, tau=0.9),
    "far more relaxed": problem(5, 17, tau=0.1, eps=0.01, n_iters=9),
    "zero marginals": problem(17, 17, zeros=True),
    "zero marginals, relaxed": problem(17, 5, tau=0.9, zeros=True),
    "zero marginals, far more relaxed": problem(5, 17, tau=0.1, n_iters=9, zeros=True),
    "tiny eps": problem(17, 17, eps=1e-4, n_iters=23),
    "several tiles": problem(40, 300, n_iters=7),  # beyond the limit of 256, to get there with few rows
}


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    given, found = (tmp_path_factory.mktemp("fused") / name for name in ("given.pt", "found.pt"))
    torch.save({name: tuple(p) for name, p in PROBLEMS.items()}, given)
    env = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", PROGRAM, given, found], env=env, check=True)
    return torch.load(found)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_fused_kernel_is_scale(solved, name):
    p = PROBLEMS[name]
    ours, expected = Scaled(*solved[name]), scale(*p)
    assert all(found.dtype == torch.float32 and torch.isfinite(found).all() for found in ours)
    torch.testing.assert_close(ours.plan, expected.plan, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(ours.entropy, expected.entropy, rtol=1e-6, atol=1e-6)
    rounding = 1e-5 + 1e-7 * (p.cost.max() / p.eps).item()  # that of the potentials is that of the logarithms
    for found, value, mass in ((ours.u, expected.u, p.a), (ours.v, expected.v, p.b)):
        # the potential of an atom without mass is only bounded
        torch.testing.assert_close(found[mass > 0], value[mass > 0], rtol=1e-5, atol=rounding)


@pytest.mark.parametrize("name", ["converged", "converged, relaxed"])
def test_the_fused_kernel_converges_to_float64(solved, name):
    p = PROBLEMS[name]
    exact = scale(p.cost.double(), p.a.double(), p.b.double(), p.eps, p.tau, 300)
    for found, value in zip(solved[name][:2], exact[:2], strict=True):  # potentials have a free constant
        torch.testing.assert_close(found.double(), value, rtol=1e-5, atol=1e-7)
