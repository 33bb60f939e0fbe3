"""Compares transport with POT, float64 and finite differences, and computes the loss of a content-free table.

python tools/benchmarks/exactness.py [--out FILE]
"""

import math
import warnings

import ot
import torch
from _report import arguments, finish, row

import otcxr_mm
from otcxr_mm.models import Tokens
from otcxr_mm.ops import sinkhorn

N, M = 12, 17


def problems(b: int = 4, n: int = N, m: int = M) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random costs and marginals in float64."""
    generator = torch.Generator().manual_seed(0)
    c, a, w = (torch.rand(*s, generator=generator, dtype=torch.float64) for s in ((b, n, m), (b, n), (b, m)))
    a, w = a + 0.1, w + 0.1
    return c, a / a.sum(1, keepdim=True), w / w.sum(1, keepdim=True)


def against_pot() -> list[dict]:
    """Compares plans and values with POT's, at convergence."""
    c, a, b = problems()
    balanced = unbalanced = share = 0.0
    for eps in (1.0, 0.1, 0.05, 0.01):
        result = sinkhorn(c, a, b, eps=eps, n_iters=5000)
        loose = {rho: sinkhorn(c, a, b, eps=eps, rho=rho, n_iters=5000).plan for rho in (0.05, 1.0, 10.0)}
        for i in range(len(c)):
            ai, bi, ci = a[i].numpy(), b[i].numpy(), c[i].numpy()
            stop = {"numItermax": 100_000, "stopThr": 1e-14}
            plan = ot.sinkhorn(ai, bi, ci, eps, method="sinkhorn_log", warn=False, **stop)
            balanced = max(balanced, abs(result.plan[i].numpy() - plan).max())
            share = max(share, abs(result.value[i].item() - ot.emd2(ai, bi, ci)) / (eps * math.log(N * M)))
            for rho, ours in loose.items():
                plan = ot.unbalanced.sinkhorn_unbalanced(ai, bi, ci, eps, rho, reg_type="entropy", **stop)
                unbalanced = max(unbalanced, abs(ours[i].numpy() - plan).max())
    return [
        row("plan against ot.sinkhorn, largest difference", balanced, at_most=1e-8),
        row("unbalanced plan against ot.unbalanced, largest difference", unbalanced, at_most=1e-8),
        row("|value - ot.emd2| / (eps log N M), largest", share, at_most=1.0),
    ]


def against_float64() -> list[dict]:
    """Compares float32 with float64 on 49 x 49 tokens."""
    c, a, b = problems(n=49, m=49)
    worst = 0.0
    for eps in (1.0, 0.05, 0.01, 1e-3):
        exact = sinkhorn(c, a, b, eps=eps, n_iters=1000).plan
        single = sinkhorn(c.float(), a.float(), b.float(), eps=eps, n_iters=1000).plan
        worst = max(worst, (single - exact).abs().max())
    return [row("plan in float32 against float64, largest difference", float(worst), at_most=1e-5)]


def against_finite_differences() -> list[dict]:
    """Compares gradients of `value` (envelope) and `cost` (unroll) with finite differences."""
    c, a, b = problems(2, 4, 5)
    rows = []
    for grad, output, n_iters in (("envelope", "value", 1000), ("unroll", "cost", 20)):

        def objective(x: torch.Tensor, grad: str = grad, output: str = output, n_iters: int = n_iters) -> torch.Tensor:
            return getattr(sinkhorn(x, a, b, eps=0.1, n_iters=n_iters, grad=grad), output).sum()

        leaf = c.clone().requires_grad_()
        (analytic,) = torch.autograd.grad(objective(leaf), leaf)
        numeric = torch.zeros_like(c)
        for i in range(c.numel()):
            step = torch.zeros_like(c)
            step.view(-1)[i] = 1e-6
            numeric.view(-1)[i] = (objective(c + step) - objective(c - step)) / 2e-6
        worst = (analytic - numeric).abs().max().item()
        rows.append(row(f"gradient of {output}, grad={grad!r}, against finite differences", worst, at_most=1e-7))
    return rows


def content_free() -> list[dict]:
    """Loss of a table q = f(position), which ignores the image."""
    b, n, d = 64, 49, 48
    torch.manual_seed(0)
    table = torch.linalg.qr(torch.randn(n, d))[0] * n**0.5
    tokens = Tokens((table - table.mean(0)).expand(b, n, d), None, (7, 7))

    def total(statistics: str) -> float:
        head = otcxr_mm.OTHead(global_mass=0.0, statistics=statistics, loss_ot={"eps": 0.02})
        return sum(v.item() for k, v in head.loss(tokens, tokens).items() if k.startswith("loss"))

    return [
        row("loss of a table f(position), default statistics", total("both"), at_least=24.0),
        row("loss of a table f(position), flattened statistics", total("flattened")),
    ]


def main() -> None:
    """Prints and writes the rows."""
    args = arguments(__doc__).parse_args()
    warnings.filterwarnings("ignore", message="If reg_type = entropy")
    finish([*against_pot(), *against_float64(), *against_finite_differences(), *content_free()], args.out)


if __name__ == "__main__":
    main()
