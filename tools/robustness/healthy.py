"""Counts the warnings of the monitors in healthy pre-trainings: none is expected.

    OTCXR_DATA=FOLDER OTCXR_WEIGHTS=FILE python tools/robustness/healthy.py [--images N] [--out FILE]

Ten runs of two epochs with the settings of the shipped configs and both monitors at their default intervals: seven of
a thin ResNet-18 from random weights, three of a MobileNetV2 from ImageNet's. FOLDER holds kermany/, nih/ and
nih_followup/, which take turns; each seed draws its own images. Status 1 after a false alarm.
"""

import json
import os
import random
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "benchmarks"))
from _report import arguments, finish, row  # noqa: E402

if TYPE_CHECKING:
    from mmengine.config import ConfigDict

# table, images for training and for validation
SETS = {"kermany": ("labels.csv", 3699, 520), "nih": ("patient_split.csv", 594, 130)}
SETS["nih_followup"] = ("patient_split.csv", 6447, 888)
SCRATCH, IMAGENET = "otcxr_r18_cpu", "otcxr_mobilenetv2_imagenet_cpu"
RUNS = [(config, name, seed) for seed, config in enumerate((SCRATCH, IMAGENET, SCRATCH)) for name in SETS]
RUNS.append((SCRATCH, "kermany", 3))
SHOWN = ("features/rank", "tokens/std", "plan/partners", "plan/marginal_error", "plan/right", "plan/chance")
SHOWN += ("weights/step", "weights/growth", "probe/linear_auroc")


def drawn(data: "ConfigDict", name: str, count: int, images: int, seed: int) -> "ConfigDict":
    """A data set's config on another folder, and on images that the seed draws from its split."""
    data.data_root = str(Path(data.data_root).parent / name)
    data.indices = sorted(random.Random(seed).sample(range(count), min(count, images)))
    return data


def pretrain(config: str, name: str, seed: int, images: int, folder: str) -> tuple[list[str], dict[str, list[float]]]:
    """Trains; gives the warnings of the monitors, and their numbers after each epoch."""
    from mmengine.config import Config
    from mmengine.runner import Runner

    table, train, val = SETS[name]
    known = Config.fromfile(ROOT / f"configs/_base_/datasets/{'kermany' if name == 'kermany' else 'nih'}_96.py")
    sizes = {"train": train, "val": val}
    labels = {key: drawn(known[f"{key}_dataloader"].dataset, name, n, 150, 0) for key, n in sizes.items()}
    cfg = Config.fromfile(ROOT / "configs" / f"{config}.py")
    data = drawn(cfg.train_dataloader.dataset.datasets[0], name, train, images, seed)
    data.ann_file = table
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.dataset = data
    cfg.train_cfg.max_epochs, cfg.randomness.seed = 2, seed
    cfg.default_hooks.checkpoint = dict(type="CheckpointHook", interval=-1)
    cfg.custom_hooks = [dict(type="otcxr_mm.OnlineProbeHook", labels=labels)]
    cfg.work_dir, cfg.experiment_name = folder, f"{config}_{name}_{seed}"
    Runner.from_cfg(cfg).train()
    (log,) = Path(folder).glob("*/*.log")
    warnings = re.findall(r" - WARNING - (Epoch \d+: .*)", log.read_text())
    lines = [json.loads(line) for line in (log.parent / "vis_data" / "scalars.json").read_text().splitlines()]
    return warnings, {key: [line[key] for line in lines if key in line] for key in SHOWN}


def main() -> None:
    """Prints and writes the rows."""
    parser = arguments(__doc__)
    parser.add_argument("--images", type=int, default=325, help="per run; by default the last of six batches has five")
    args = parser.parse_args()
    rows = []
    for config, name, seed in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            warnings, numbers = pretrain(config, name, seed, args.images, folder)
        found = ", ".join(f"{key} {' '.join(f'{value:.3g}' for value in values)}" for key, values in numbers.items())
        print(f"{config} on {name}, seed {seed}: {found}", *warnings, sep="\n", flush=True)
        rows.append(row(f"{config} on {name}, seed {seed}: false alarms", len(warnings), at_most=0))
    finish(rows, args.out)


if __name__ == "__main__":
    main()
