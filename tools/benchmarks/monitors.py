"""Cost of the monitors of pre-training at their default intervals, as a share of training time.

    python tools/benchmarks/monitors.py [--batch N] [--iterations N] [--out FILE]

Trains two short epochs on drawn radiographs with TransportMonitor and OnlineProbeHook (labels of 200 + 100 images,
masks of 60 + 40, correspondence on 64), and times hooks and training steps in the same run: CPU time, which other
programs on the machine hardly change, or on a GPU the time until it is idle. The second epoch counts. A step is
without reading images, which workers may do meanwhile, and the probe without reading its own, once per run.
The shares are those of an epoch of the real data: 4,293 images for the thin ResNet-18, 86,524 for the ResNet-50.
"""

import math
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from _report import arguments, finish, row

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
# config, side of the views, images of an epoch, epochs
NETWORKS = {
    "thin ResNet-18 at 96": ("otcxr_r18_cpu.py", 96, 4293, 10),
    "ResNet-50 at 224": ("otcxr_r50_nih.py", 224, 86524, 100),
}
PARTS = {
    "TransportMonitor": ("before_train_iter", "_keep_features", "after_train_iter", "after_train_epoch", "_draw"),
    "OnlineProbeHook": ("after_train_epoch",),
    "OTCXR": ("train_step",),
}


def clock() -> float:
    """CPU seconds of this process; with a GPU the time, when it has done all that it was asked to."""
    import torch

    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def timed(function: Callable, seconds: list[float]) -> Callable:
    """A function that adds its time to a list."""

    def run(*args: object, **kwargs: object) -> object:
        start = clock()
        result = function(*args, **kwargs)
        seconds.append(clock() - start)
        return result

    return run


def build(config: str, side: int, batch: int, iterations: int, folder: str) -> object:
    """The runner of a short training with both monitors."""
    from mmengine.config import Config
    from mmengine.runner import Runner

    cfg = Config.fromfile(ROOT / "configs" / config)
    drawn = dict(type="otcxr_mm.SyntheticCXR", data_root=f"{folder}/{side}", patients=150, size=side)
    pipeline = [dict(type="otcxr_mm.LoadCXR"), dict(type="Resize", scale=(side, side))]
    pack = dict(type="otcxr_mm.PackCXR", meta_keys=("gt_masks",))
    splits = dict(split_by_hash=(("train", 0.7), ("val", 0.3)))
    known = dict(**drawn, **splits, pipeline=[*pipeline, pack], test_mode=True)

    def probed(train: int, val: int) -> dict:
        return {split: dict(**known, split=split, indices=n) for split, n in (("train", train), ("val", val))}

    views = dict(**drawn, **splits, split="train", indices=batch * iterations, pipeline=cfg.train_pipeline)
    cfg.train_dataloader.update(batch_size=batch, num_workers=0, persistent_workers=False)
    cfg.train_dataloader.pop("pin_memory", None)
    cfg.train_dataloader.dataset = views
    cfg.train_cfg.max_epochs = 2
    cfg.param_scheduler = []
    cfg.default_hooks.checkpoint = dict(type="CheckpointHook", interval=-1)
    del cfg.default_hooks["export"]
    cfg.custom_hooks = [
        dict(type="otcxr_mm.OnlineProbeHook", labels=probed(200, 100), masks=probed(60, 40), interval=1)
    ]
    cfg.work_dir, cfg.log_level = tempfile.mkdtemp(dir=folder), "WARNING"
    cfg.experiment_name = Path(cfg.work_dir).name
    return Runner.from_cfg(cfg)


def measure(name: str, batch: int, iterations: int, folder: str) -> list[dict]:
    """Rows of one network."""
    import torch

    import otcxr_mm
    from otcxr_mm.engine.health import feature_numbers
    from otcxr_mm.engine.hooks.transport import STEPS

    config, side, images, epochs = NETWORKS[name]
    runner = build(config, side, batch, iterations, folder)
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for part_of in (*runner.hooks, runner.model):
        kind = type(part_of).__name__
        for part in PARTS.get(kind, ()):
            setattr(part_of, part, timed(getattr(part_of, part), seconds[kind, part]))
    runner.train()
    epoch = math.ceil(images / batch)
    train = epoch * statistics.median(seconds["OTCXR", "train_step"][-iterations:])
    last = {key: values[-1] for key, values in seconds.items()}

    def of(part: str, kind: str = "TransportMonitor") -> float:
        return last[kind, part]

    monitor, probe = otcxr_mm.TransportMonitor(), otcxr_mm.OnlineProbeHook(labels=dict(train={}, val={}))
    all_features = torch.randn(2 * monitor.samples, runner.cfg.model.neck.in_channels[-1])  # the run had too few
    rank: list[float] = []
    timed(feature_numbers, rank)([all_features])
    weights = max(seconds["TransportMonitor", "before_train_iter"]) + of("after_train_iter")
    each = 2 * epoch * of("_keep_features") + STEPS * weights
    drawn = len({1, epochs, *range(monitor.pictures, epochs, monitor.pictures)})
    costs = {
        "TransportMonitor": of("after_train_epoch") - of("_draw") + rank[0] + each,
        "its pictures": of("_draw") * drawn / epochs,
        "OnlineProbeHook": of("after_train_epoch", "OnlineProbeHook") / probe.interval,
    }
    rows = [row(f"{name}: {kind}, share of training time", cost / train) for kind, cost in costs.items()]
    return [*rows, row(f"{name}: all monitors, share of training time", sum(costs.values()) / train, at_most=0.03)]


def main() -> None:
    """Prints and writes the rows."""
    import torch

    parser = arguments(__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--iterations", type=int, default=3, help="per epoch")
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], default=[*NETWORKS])
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with tempfile.TemporaryDirectory() as folder:
        rows = [one for name in args.networks for one in measure(name, args.batch, args.iterations, folder)]
    finish(rows, args.out)


if __name__ == "__main__":
    main()
