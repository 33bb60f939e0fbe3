"""Time of a linear evaluation with five weight decays against one: features once, then the fits.

    python tools/benchmarks/linear_eval.py [--out FILE]

Uses the radiographs of kermany if OTCXR_DATA is set, otherwise synthetic ones; thin ResNet-18, one thread.
"""

import os
import tempfile
from pathlib import Path

from _report import arguments, finish, paired, row

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
REPEATS = 3
DECAYS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def evaluate(decays: tuple[float, ...], folder: str) -> None:
    """Runs a linear evaluation from the images to the checkpoint."""
    import torch
    from mmengine.config import Config
    from mmengine.runner import Runner

    torch.set_num_threads(1)
    data = os.environ.get("OTCXR_DATA")
    name = "linear_r18_kermany" if data else "linear_r18_synthetic"
    (path,) = (ROOT / "configs").rglob(f"{name}.py")
    cfg = Config.fromfile(path)
    cfg.default_hooks.load_backbone.update(checkpoint=None, calibrate=True)
    cfg.work_dir, cfg.log_level = tempfile.mkdtemp(dir=folder), "WARNING"
    cfg.experiment_name = Path(cfg.work_dir).name
    cfg.train_cfg.update(decays=decays)
    Runner.from_cfg(cfg).train()


def main() -> None:
    """Measures both in turn, and reports the ratio of medians."""
    args = arguments(__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        medians = paired({"one": lambda: evaluate((1e-2,), folder), "five": lambda: evaluate(DECAYS, folder)}, REPEATS)
    ratio = medians["five"] / medians["one"]
    finish([row("linear evaluation: time of a sweep of 5 weight decays / of one", ratio, at_most=1.2)], args.out)


if __name__ == "__main__":
    main()
