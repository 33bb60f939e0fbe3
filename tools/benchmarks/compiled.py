"""Time of a training step of OTCXR with the backbone compiled, as CompileHook does it, against without, on one core.

python tools/benchmarks/compiled.py [--network NAME] [--batch N] [--rounds N] [--out FILE]

The compiler's own time is reported apart. It needs a C++ compiler; without one there are no rows.
"""

import os
import shutil
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")  # as in the first run on a machine

import torch
from _report import arguments, finish, paired, row
from step import NETWORKS, ROOT, step


def main() -> None:
    """Prints and writes the rows."""
    parser = arguments(__doc__)
    parser.add_argument("--network", choices=[*NETWORKS], default="thin ResNet-18 at 96")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    if shutil.which(os.environ.get("CXX", "g++")) is None:
        finish([], args.out)
    init_default_scope("mmpretrain")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    file, side, *_ = NETWORKS[args.network]
    model = Config.fromfile(ROOT / "configs" / file).model
    steps = {"plain": step(model, side, args.batch), "compiled": step(model, side, args.batch, compiled=True)}
    start = time.perf_counter()
    steps["compiled"]()
    seconds = time.perf_counter() - start
    found = paired(steps, args.rounds)
    rows = [
        row(f"{args.network}: time of a step / with a compiled backbone", found["plain"] / found["compiled"]),
        row("seconds of the first step, with the compiler", seconds),
    ]
    finish(rows, args.out)


if __name__ == "__main__":
    main()
