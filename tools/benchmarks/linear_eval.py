"""What a sweep of five weight decays costs beside one, in a whole linear evaluation: features once, then the fits.

    python tools/benchmarks/linear_eval.py [--out FILE]

On the real radiographs of kermany where OTCXR_DATA has them, else on the built-in ones; thin ResNet-18, one thread.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
TARGET = 1.2
REPEATS = 3
DECAYS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def seconds(decays: tuple[float, ...], folder: str) -> float:
    """A linear evaluation from the images to the checkpoint, after everything is imported and read."""
    import torch
    from mmengine.config import Config
    from mmengine.runner import Runner

    torch.set_num_threads(1)
    data = os.environ.get("OTCXR_DATA")
    name = "otcxr_linear_r18_kermany" if data else "linear_r18_synthetic"
    (path,) = (ROOT / "configs").rglob(f"{name}.py")
    cfg = Config.fromfile(path)
    cfg.custom_hooks, cfg.work_dir, cfg.log_level = None, tempfile.mkdtemp(dir=folder), "WARNING"
    cfg.experiment_name = Path(cfg.work_dir).name
    cfg.train_cfg.update(decays=decays, calibrate=True, cache=False)
    runner = Runner.from_cfg(cfg)
    start = time.perf_counter()
    runner.train()
    return time.perf_counter() - start


def main() -> None:
    """Measures one and five in turn, and prints the ratio of medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="FILE", help="JSON list of {metric, target, value, pass}")
    args = parser.parse_args()
    times: dict[int, list[float]] = {1: [], 5: []}
    with tempfile.TemporaryDirectory() as folder:
        seconds((1e-2,), folder)  # imports, file cache
        for _ in range(REPEATS):
            times[1].append(seconds((1e-2,), folder))
            times[5].append(seconds(DECAYS, folder))
    ratio = statistics.median(times[5]) / statistics.median(times[1])
    row = {
        "metric": "linear evaluation: time of a sweep of 5 weight decays / of one",
        "target": TARGET,
        "value": round(ratio, 3),
        "pass": ratio <= TARGET,
    }
    print(json.dumps(row), {n: [round(t, 1) for t in ts] for n, ts in times.items()})
    if args.out:
        Path(args.out).write_text(json.dumps([row], indent=2) + "\n")
    if not row["pass"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
