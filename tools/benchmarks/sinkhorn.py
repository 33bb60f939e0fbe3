"""Time of Sinkhorn against POT's batched solver: same problems, threads, dtype and iterations.

python tools/benchmarks/sinkhorn.py [--device cuda] [--out FILE]
"""

import warnings

import ot
import torch
from _report import arguments, finish, paired, row

from otcxr_mm.ops import cost, sinkhorn

EPS = 0.1  # in units of the mean cost, the configs' default
ITERATIONS = 50


def problems(batch: int, tokens: int, device: str) -> torch.Tensor:
    """Squared Euclidean costs of unit mean between noisy copies of tokens, as between two viewpoints."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, tokens, 128, generator=generator)
    y = x + 0.7 * torch.randn(batch, tokens, 128, generator=generator)
    c = cost(x, y)
    return (c / c.mean((1, 2), keepdim=True)).to(device)


def pot(c: torch.Tensor, method: str, tol: float, max_iter: int, grad: str) -> ot.utils.OTResult:
    """POT's result, without its convergence warnings: the number of iterations is fixed on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ot.solve_batch(c, EPS, method=method, max_iter=max_iter, tol=tol, grad=grad)


def marginal_error(plan: torch.Tensor) -> float:
    """Mean over the batch of sum |T 1 - a| + sum |T^T 1 - b|, uniform marginals."""
    n, m = plan.shape[1:]
    return ((plan.sum(2) - 1 / n).abs().sum(1) + (plan.sum(1) - 1 / m).abs().sum(1)).mean().item()


def main() -> None:
    """Prints and writes the rows."""
    parser = arguments(__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(2)
    rows = []
    for batch, tokens in ((64, 50), (64, 197)):
        c = problems(batch, tokens, args.device)
        leaf = c.clone().requires_grad_()
        exact = sinkhorn(c.double(), eps=EPS, n_iters=5000).plan

        def sync(result: torch.Tensor) -> torch.Tensor:
            if args.device != "cpu":
                torch.cuda.synchronize()
            return result

        def backward(solve, leaf: torch.Tensor = leaf) -> None:  # noqa: ANN001
            leaf.grad = None
            sync(solve(leaf).value.sum().backward())

        ours = sinkhorn(c, eps=EPS, n_iters=ITERATIONS)
        tol = marginal_error(ours.plan)
        runs = {
            "ours": lambda c=c: sync(sinkhorn(c, eps=EPS, n_iters=ITERATIONS).plan),
            "pot log": lambda c=c: sync(pot(c, "log_sinkhorn", 0.0, ITERATIONS, "detach").plan),
            "pot kernel": lambda c=c: sync(pot(c, "sinkhorn", 0.0, ITERATIONS, "detach").plan),
            "ours, gradient": lambda: backward(lambda x: sinkhorn(x, eps=EPS, n_iters=ITERATIONS)),
            "pot log, gradient": lambda: backward(lambda x: pot(x, "log_sinkhorn", 0.0, ITERATIONS, "envelope")),
        }
        seconds = paired(runs, args.rounds)
        size = f"B={batch} N={tokens}, {ITERATIONS} iterations, float32, {args.device}"
        for name in ("pot log", "pot kernel"):
            method = {"pot log": "log_sinkhorn", "pot kernel": "sinkhorn"}[name]
            plan = pot(c, method, 0.0, ITERATIONS, "detach").plan
            note = f"its error to float64 convergence {(plan - exact).abs().max():.1e}"
            rows.append(row(f"time of {name} / ours ({size}; {note})", seconds[name] / seconds["ours"]))
        rows.append(
            row(
                f"time of pot log / ours, with gradient ({size})",
                seconds["pot log, gradient"] / seconds["ours, gradient"],
                at_least=1,
            )
        )
        rows.append(row(f"our marginal error ({size})", tol))
        rows.append(
            row(
                f"our largest difference from float64 convergence ({size})",
                (ours.plan - exact).abs().max().item(),
                at_most=1e-3,
            )
        )
    finish(rows, args.out)


if __name__ == "__main__":
    main()
