"""The algorithm of :mod:`scaling` as one GPU kernel: one program per problem, all iterations in one launch.

`scale` launches several hundred small kernels, and a fast GPU waits for the host. Here a program reads the logarithm of
its plan once per iteration, in tiles of rows: a tile updates its rows, then adds its share to the sums of the columns.
The plan is not kept in registers, because 256 x 256 float32 fill all those of a multiprocessor. It stays in caches: 197
rows padded to 256 columns take 197 KiB, the L1 cache of an H100 has 256 KiB, and the plans of its 132 multiprocessors
fit into its L2 cache of 50 MB. Sums are reductions in float32: a matrix product would round to TF32.

Import this module only where triton is installed.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .scaling import _BLOCK, _HIGH, _LEAST, _LN2, _LOW, _MOST, _PLAIN, Scaled

PLAIN, BLOCK = tl.constexpr(_PLAIN), tl.constexpr(_BLOCK)
LOW, HIGH, LN2 = tl.constexpr(_LOW), tl.constexpr(_HIGH), tl.constexpr(_LN2)
LEAST, MOST = tl.constexpr(_LEAST), tl.constexpr(_MOST)
EPS, TINY = tl.constexpr(torch.finfo(torch.float32).eps), tl.constexpr(torch.finfo(torch.float32).tiny)
_WARPS, _TILE = 8, 8192  # a tile of 8192 entries is 32 registers of each thread of 8 warps


@triton.jit
def _between(x, low, high):  # tl.clamp would turn a NaN into a bound
    x = tl.where(x < low, low, x)
    return tl.where(x > high, high, x)


@triton.jit
def _update(scaling, marginal, sums, potential, omega, tau, BALANCED: tl.constexpr):
    """As in scaling.py; a relaxation of 1 is none."""
    if BALANCED:
        end = marginal / sums
    else:  # a logarithm for each, since that of a subnormal quotient is -inf on a GPU
        end = tl.exp2(tau * (tl.log2(marginal) - tl.log2(sums)))
        end *= tl.exp2(_between((tau - 1) * potential, -115.0, 115.0))
    end = _between(end, 0.0, 2.0**126)  # finite: 0 * inf is NaN
    return _between(tl.maximum(end + (omega - 1) * (end - scaling), 0.25 * end), LOW, HIGH)


@triton.jit
def _relaxation(omega, before, after, largest):
    """As in scaling.py, from the norms of the last two changes and the largest scaling."""
    rate = after / tl.maximum(before, TINY)
    slowest = tl.maximum(tl.maximum(rate, omega - 1), 1e-3)
    root = (slowest + omega - 1) / omega
    eta = root * root / slowest
    best = _between(2 / (1 + tl.sqrt(tl.maximum(1 - eta, 0.0))), LEAST, MOST)
    return tl.where((rate >= 1) | (largest > HIGH / 2) | (before < 64 * EPS), (omega + LEAST) / 2, best)


@triton.jit
def _tile(first, n, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Rows, whether they exist, and offsets of their entries in the padded plan."""
    i = first + tl.arange(0, ROWS)
    return i, i < n, i[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]


@triton.jit
def _absorb(padded, rows, u, log_columns, n, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Moves the scalings into the logarithm of the plan and into u; those of the rows are 1 afterwards."""
    for first in range(0, n, ROWS):
        i, row, at = _tile(first, n, ROWS, COLUMNS)
        log_rows = tl.log2(tl.load(rows + i, row, 1.0))
        potential = tl.load(u + i, row, 0.0)
        log_plan = tl.load(padded + at, row[:, None], 0.0)
        tl.debug_barrier()  # several threads load a value, and one of them stores the new one
        tl.store(u + i, potential + log_rows, row)
        tl.store(rows + i, tl.full([ROWS], 1.0, tl.float32), row)
        tl.store(padded + at, log_plan + log_rows[:, None] + log_columns[None, :], row[:, None])
    tl.debug_barrier()


@triton.jit(do_not_specialize=["n_iters"])
def _kernel(
    cost, a, b, plan, entropy, u, v, rows, padded, factor, tau, n_iters, n, m,
    BALANCED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Solves problem program_id(0). `padded`, (B, n, COLUMNS), holds the logarithm of the plan; `rows` their scalings.

    Rows and columns outside the plan are inert: their entries are 0, their marginals, sums and scalings 1.
    """
    problem = tl.program_id(0).to(tl.int64)
    cost, plan, padded = cost + problem * n * m, plan + problem * n * m, padded + problem * n * COLUMNS
    a, u, rows = a + problem * n, u + problem * n, rows + problem * n
    j = tl.arange(0, COLUMNS)
    column = j < m
    target = tl.maximum(tl.load(b + problem * m + j, column, 1.0), TINY)

    # an entry of 1 in each row and each column keeps all sums from underflow
    largest = tl.full([ROWS, COLUMNS], float("-inf"), tl.float32)
    for first in range(0, n, ROWS):
        i, row, at = _tile(first, n, ROWS, COLUMNS)
        entry = row[:, None] & column[None, :]
        log_plan = tl.load(cost + i[:, None] * m + j[None, :], entry, 0.0) * factor
        log_plan = tl.where(entry, log_plan, float("-inf"))
        potential = tl.where(row, -tl.max(log_plan, 1), 0.0)
        log_plan += potential[:, None]
        largest = tl.maximum(largest, log_plan)
        tl.store(u + i, potential, row)
        tl.store(rows + i, tl.full([ROWS], 1.0, tl.float32), row)
        tl.store(padded + at, log_plan, row[:, None])
    tl.debug_barrier()
    potentials = tl.where(column, -tl.max(largest, 0), 0.0)
    _absorb(padded, rows, u, potentials, n, ROWS, COLUMNS)

    columns = tl.full([COLUMNS], 1.0, tl.float32)
    omega = tl.full([], 1.0, tl.float32)
    before, after, top = omega, omega, omega
    for iteration in range(n_iters):
        if iteration >= PLAIN and (iteration - PLAIN) % BLOCK == 0:
            omega = _relaxation(omega, before, after, tl.maximum(top, tl.max(columns, 0)))
            if iteration > PLAIN:  # the first estimate comes too early to absorb
                log_columns = tl.log2(columns)
                potentials += log_columns
                _absorb(padded, rows, u, log_columns, n, ROWS, COLUMNS)
                columns = tl.full([COLUMNS], 1.0, tl.float32)
        partial = tl.zeros([ROWS, COLUMNS], tl.float32)
        change, highest = tl.zeros([ROWS], tl.float32), tl.zeros([ROWS], tl.float32)
        for first in range(0, n, ROWS):
            i, row, at = _tile(first, n, ROWS, COLUMNS)
            scaling, potential = tl.load(rows + i, row, 1.0), tl.load(u + i, row, 0.0)
            source = tl.maximum(tl.load(a + i, row, 1.0), TINY)
            tile = _between(tl.exp2(tl.load(padded + at, row[:, None], float("-inf"))), 0.0, HIGH)
            tl.debug_barrier()
            sums = tl.where(row, tl.sum(tile * columns[None, :], 1), 1.0)
            updated = _update(scaling, source, sums, potential, omega, tau, BALANCED)
            tl.store(rows + i, updated, row)
            partial += tile * updated[:, None]
            step = tl.log2(updated / scaling)
            change += step * step
            highest = tl.maximum(highest, updated)
        tl.debug_barrier()
        before, after, top = after, tl.sqrt(tl.sum(change, 0)) * LN2, tl.max(highest, 0)
        sums = tl.where(column, tl.sum(partial, 0), 1.0)
        relaxation = tl.where(iteration + 1 < n_iters, omega, 1.0)
        columns = _update(columns, target, sums, potentials, relaxation, tau, BALANCED)

    tl.store(v + problem * m + j, (potentials + tl.log2(columns)) * LN2, column)
    partial = tl.zeros([ROWS, COLUMNS], tl.float32)
    for first in range(0, n, ROWS):
        i, row, at = _tile(first, n, ROWS, COLUMNS)
        entry = row[:, None] & column[None, :]
        scaling, potential = tl.load(rows + i, row, 1.0), tl.load(u + i, row, 0.0)
        log_plan = tl.load(padded + at, row[:, None], float("-inf"))
        tl.debug_barrier()
        tile = _between(tl.exp2(log_plan), 0.0, HIGH) * scaling[:, None] * columns[None, :]
        log_plan = log_plan + tl.log2(scaling)[:, None] + tl.log2(columns)[None, :]
        partial += tl.where(entry, log_plan * tile, 0.0)
        tl.store(plan + i[:, None] * m + j[None, :], tile, entry)
        tl.store(u + i, (potential + tl.log2(scaling)) * LN2, row)
    tl.store(entropy + problem, -tl.sum(tl.sum(partial, 1), 0) * LN2)


@torch.library.custom_op("otcxr_mm::fused_scale", mutates_args=())
def _launch(
    cost: Tensor, a: Tensor, b: Tensor, eps: float, tau: float, n_iters: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    cost, a, b = cost.contiguous(), a.contiguous(), b.contiguous()
    batch, n, m = cost.shape
    plan, entropy, u, v = _shapes(cost, a, b, eps, tau, n_iters)
    columns = max(16, triton.next_power_of_2(m))
    block = {"ROWS": min(max(16, triton.next_power_of_2(n)), _TILE // columns), "COLUMNS": columns}
    # one stage: a pipeline would load before the stores of the loop before; fusion would round unlike `scale`
    options = {"num_warps": _WARPS, "num_stages": 1, "enable_fp_fusion": False}
    rows, padded = torch.empty_like(a), cost.new_empty(batch, n, columns)
    with torch.cuda.device_of(cost):
        _kernel[(batch,)](
            cost, a, b, plan, entropy, u, v, rows, padded, -1 / (eps * _LN2), tau, n_iters, n, m,
            BALANCED=tau == 1, **block, **options,
        )  # fmt: skip
    return plan, entropy, u, v


@_launch.register_fake
def _shapes(
    cost: Tensor, a: Tensor, b: Tensor, eps: float, tau: float, n_iters: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return cost.new_empty(cost.shape), cost.new_empty(cost.shape[0]), torch.empty_like(a), torch.empty_like(b)


def fused_scale(cost: Tensor, a: Tensor, b: Tensor, eps: float, tau: float, n_iters: int) -> Scaled:
    """As :func:`.scaling.scale` in float32, by one kernel; for problems up to 256 x 256."""
    return Scaled(*_launch(cost, a, b, eps, tau, n_iters))
