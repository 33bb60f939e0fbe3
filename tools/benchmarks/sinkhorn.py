"""Time of Sinkhorn against POT's batched solvers at equal marginal error: same problems, threads and dtype.

Each solver runs with the fewest iterations that reach the error, so that no time goes into a test of convergence
which a luckier choice would have saved.

python tools/benchmarks/sinkhorn.py [--device cuda] [--quick] [--peers] [--out FILE]
python tools/benchmarks/sinkhorn.py --peers --curve FILE.svg    # draws error against time instead
"""

import math
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext

import ot
import torch
from _peers import peers
from _report import arguments, finish, paired, row
from torch import Tensor

from otcxr_mm.ops import cost, sinkhorn

BATCH = 64
MOST = 1000  # iterations after which a solver counts as not converging
# n iterations on a cost at eps: the plan, and the value, whose gradient is the envelope's
Solver = Callable[[Tensor, float, int], tuple[Tensor, Tensor]]


def problems(tokens: int, device: str) -> Tensor:
    """Squared Euclidean costs of unit mean, (BATCH, tokens, tokens), between noisy copies of tokens.

    The variances of the 128 features fall as 1 / k^2, as those of a trained network: with equal variances the cost
    of every pair but the true one is the same, and the problem solves itself.
    """
    generator = torch.Generator().manual_seed(0)
    scale = torch.arange(1, 129) ** -1.0
    x, noise = (torch.randn(BATCH, tokens, 128, generator=generator) * scale for _ in range(2))
    c = cost(x, x + 0.7 * noise)
    return (c / c.mean((1, 2), keepdim=True)).to(device)


def ours(c: Tensor, eps: float, n: int) -> tuple[Tensor, Tensor]:
    """Our solver."""
    result = sinkhorn(c, eps=eps, n_iters=n)
    return result.plan, result.value


def pot(method: str) -> Solver:
    """POT's solver, without its warnings: the number of iterations is fixed on purpose."""

    def solve(c: Tensor, eps: float, n: int) -> tuple[Tensor, Tensor]:
        # POT makes its potentials on the default device
        on_device = torch.device(c.device) if c.is_cuda else nullcontext()
        with warnings.catch_warnings(), on_device:
            warnings.simplefilter("ignore")
            grad = "envelope" if c.requires_grad else "detach"
            result = ot.solve_batch(c, eps, method=method, max_iter=n, tol=0.0, grad=grad)
        return result.plan, result.value

    return solve


def marginal_error(plan: Tensor) -> float:
    """Largest sum |T 1 - a| + sum |T^T 1 - b| of the batch, uniform marginals; inf for a plan with NaN."""
    n, m = plan.shape[1:]
    plan = plan.double()
    error = ((plan.sum(2) - 1 / n).abs().sum(1) + (plan.sum(1) - 1 / m).abs().sum(1)).max().item()
    return math.inf if math.isnan(error) else error


def fewest(solver: Solver, c: Tensor, eps: float, error: float) -> int | None:
    """Fewest iterations that reach the error; None if MOST do not."""

    def reaches(n: int) -> bool:
        return marginal_error(solver(c, eps, n)[0]) <= error

    with torch.no_grad():
        few, many = 0, 1
        while not reaches(many):
            few, many = many, 2 * many
            if many > MOST:
                return None
        while many - few > max(1, few // 20):
            middle = (few + many) // 2
            few, many = (few, middle) if reaches(middle) else (middle, many)
    return many


def timed(solver: Solver, c: Tensor, eps: float, n: int, gradient: bool) -> Callable[[], None]:
    """A run of the solver, to be timed."""
    leaf = c.clone().requires_grad_(gradient)

    def run() -> None:
        value = solver(leaf, eps, n)[1].sum()
        if gradient:
            torch.autograd.grad(value, leaf)
        if c.is_cuda:
            torch.cuda.synchronize()

    return run


def compare(c: Tensor, eps: float, error: float, solvers: dict[str, Solver], rounds: int) -> dict[bool, float]:
    """Prints a line per direction, and returns the time of POT's fastest over ours, without and with gradient."""
    needed: dict[str, int | None] = {}
    for name, solver in solvers.items():
        if name == "pot log" and needed["pot kernel"]:
            continue  # the same iterates, each several times slower
        needed[name] = fewest(solver, c, eps, error)
    reached = {name: n for name, n in needed.items() if n}
    ratios = {}
    for gradient in (False, True):
        runs = {
            name: timed(solvers[name], c, eps, n, gradient)
            for name, n in reached.items()
            if not (gradient and name == "ott")
        }
        seconds = paired(runs, rounds)
        cells = [
            f"{name} {1e3 * seconds[name]:.2f} ms ({needed[name]})" if name in runs else f"{name} fails"
            for name in needed
            if name in runs or name not in reached
        ]
        rivals = [seconds[name] for name in reached if name.startswith("pot")]
        if "ours" in reached and rivals:
            ratios[gradient] = min(rivals) / seconds["ours"]
            cells.append(f"ratio {ratios[gradient]:.2f}")
        title = f"N={c.shape[1]} eps={eps:g} error {error:.0e}{' + gradient' if gradient else ''}"
        print(f"{title}: {', '.join(cells)}", flush=True)
    return ratios


def curve(device: str, tokens: list[int], solvers: dict[str, Solver], rounds: int, file: str) -> None:
    """Draws the marginal error that each solver has reached after so many milliseconds, without gradient."""
    from matplotlib import pyplot as plt

    every = (0.2, 0.05)
    size = (4 * len(tokens), 3 * len(every))
    figure, axes = plt.subplots(len(every), len(tokens), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for column, count in enumerate(tokens):
        c = problems(count, device)
        for ax, eps in zip(axes[:, column], every, strict=True):
            errors: dict[str, dict[int, float]] = {name: {} for name in solvers}
            runs = {}
            for name, solver in solvers.items():
                n = 2
                runs[name, 0] = timed(solver, c, eps, n, False)  # so that the next one does not pay for cold caches
                while n < MOST:
                    start = time.perf_counter()
                    with torch.no_grad():
                        errors[name][n] = marginal_error(solver(c, eps, n)[0])
                    runs[name, n] = timed(solver, c, eps, n, False)
                    if time.perf_counter() - start > 3:
                        break
                    n *= 2
            seconds = paired(runs, rounds)
            for name, reached in errors.items():
                points = [(1e3 * seconds[name, n], error) for n, error in reached.items()]
                ax.plot(*zip(*points, strict=True), marker=".", label=name, linewidth=2.5 if name == "ours" else 1)
            ax.set(xscale="log", yscale="log", ylim=(5e-8, 5), xlabel="ms", title=f"N={count}, eps={eps:g}")
            ax.grid(alpha=0.3)
    for ax in axes[:, 0]:
        ax.set_ylabel("marginal error")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(solvers))
    figure.savefig(file)


def main() -> None:
    """Prints all times, and prints and writes a row for each size."""
    parser = arguments(__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokens", type=int, nargs="+", default=[49, 196])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", action="store_true", help="also geomloss and OTT, where they are installed")
    parser.add_argument("--quick", action="store_true", help="a fraction of the problems")
    parser.add_argument("--curve", metavar="FILE", help="draw error against time at eps 0.2 and 0.05, and no more")
    args = parser.parse_args()
    torch.set_num_threads(2)
    solvers = {"ours": ours, "pot kernel": pot("sinkhorn"), "pot log": pot("log_sinkhorn")}
    if args.peers:
        solvers.update(peers())
    if args.curve:
        curve(args.device, args.tokens, solvers, args.rounds, args.curve)
        return
    rows = []
    for tokens in args.tokens:
        c = problems(tokens, args.device)
        ratios: dict[bool, list[float]] = {False: [], True: []}
        for eps in (0.5, 0.1) if args.quick else (0.5, 0.2, 0.1, 0.05, 0.02):
            for error in (1e-2, 1e-4) if args.quick else (1e-2, 1e-4, 1e-6):
                for gradient, ratio in compare(c, eps, error, solvers, args.rounds).items():
                    ratios[gradient].append(ratio)
        for gradient, values in ratios.items():
            size = f"B={BATCH} N={tokens}, float32, {args.device}{', with gradient' if gradient else ''}"
            mean = math.exp(sum(map(math.log, values)) / len(values))
            title = "time of POT's fastest / ours at equal marginal error"
            rows.append(row(f"{title}, geometric mean of {len(values)} problems ({size})", mean, at_least=2))
            rows.append(row(f"the same, least ({size})", min(values)))
    finish(rows, args.out)


if __name__ == "__main__":
    main()
