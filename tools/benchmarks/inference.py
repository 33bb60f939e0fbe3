"""Images per second of `otcxr embed` and `otcxr predict` against the bare backbone on prepared tensors, on one core.

    python tools/benchmarks/inference.py [--data FOLDER] [--networks NAME ...] [--out FILE]

FOLDER (default: OTCXR_DATA, else ../shared/data) holds nih/images/*.png. The weights are random: they do not change the
time. The bare forward, the command's loop on packed images, and its loop on the PNG files run in turn on the same
images; starting Python is not counted.
"""

import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import torch
from _report import arguments, finish, row

warnings.filterwarnings("ignore", message="Fail to import")
BATCHES = (8, 32)  # of the bare forward; the faster one counts
ROOT = Path(__file__).resolve().parents[2]
# a config, pixels, and images, so few that a network takes minutes
NETWORKS = {
    "thin ResNet-18 at 96": ("linear_r18_nih", 96, 1000),
    "ResNet-50 at 224": ("linear_r50_nih", 224, 160),
}


def write_run(name: str, folder: Path) -> Path:
    """Writes a checkpoint of a classifier with random weights, as a run of its config leaves it."""
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    from otcxr_mm.registry import MODELS
    from otcxr_mm.utils.configs import config_text, find_config

    cfg = Config.fromfile(find_config(name))
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build({**cfg.model, "_scope_": "mmpretrain"})
    classes = [f"finding {i}" for i in range(cfg.model.head.num_classes)]
    meta = {"cfg": config_text(cfg), "dataset_meta": {"classes": classes}}
    torch.save({"meta": meta, "state_dict": model.state_dict()}, folder / f"{name}.pth")
    return folder / f"{name}.pth"


def answering(inferencer: object, place: Path | list[str], folder: Path) -> Callable[[], None]:
    """What a command does between its start and the table."""
    from otcxr_mm.apis.images import find_images
    from otcxr_mm.apis.rows import Rows, compute, key_of

    def run() -> None:
        images = find_images(place)
        rows = Rows(folder / "rows", key_of("", images, time.time()), len(images))
        assert not any(any(found.values()) for found in compute(inferencer, images, rows, 32, workers=0))
        rows.remove()

    return run


def bare(backbone: torch.nn.Module, tensors: torch.Tensor, batch: int) -> Callable[[], None]:
    """The backbone's forward on tensors that are ready."""

    @torch.inference_mode()
    def run() -> None:
        for images in tensors.split(batch):
            backbone(images)

    return run


def measure(name: str, images: Path, folder: Path, rounds: int) -> list[dict]:
    """Rows of one network: ratios of images per second to those of the bare forward, medians over the rounds."""
    from otcxr_mm.apis import CXRClassifierInferencer, CXRFeatureInferencer
    from otcxr_mm.datasets import pack_images

    config, side, count = NETWORKS[name]
    files = sorted(images.glob("*.png"))[:count]
    if not files:
        raise SystemExit(f"{images}: there is no *.png; set --data FOLDER")
    pack_images(images, [file.name for file in files], folder / config, 256)
    run = write_run(config, folder)
    embed, predict = CXRFeatureInferencer(run, "cpu"), CXRClassifierInferencer(run, "cpu")
    tensors = torch.randn(len(files), 1, side, side)
    paths = [str(file) for file in files]
    todo = {f"bare {batch}": bare(embed.model.backbone, tensors, batch) for batch in BATCHES}
    for kind, inferencer in (("embed", embed), ("predict", predict)):
        todo[f"{kind}, packed"] = answering(inferencer, folder / config, folder)
        todo[f"{kind}, PNG"] = answering(inferencer, paths, folder)
    seconds: dict[str, list[float]] = {key: [] for key in todo}
    for counted in range(rounds + 1):
        for key, function in todo.items():
            start = time.process_time()
            function()
            if counted:
                seconds[key].append(time.process_time() - start)
    best = [min(times) for times in zip(*(seconds[f"bare {batch}"] for batch in BATCHES), strict=True)]
    rows = [row(f"{name}: images per second, bare forward", len(files) / statistics.median(best))]
    for key in [key for key in todo if not key.startswith("bare")]:
        ratio = statistics.median(b / s for b, s in zip(best, seconds[key], strict=True))
        target = 0.8 if key.endswith("packed") else 0.5
        rows.append(row(f"{name}, {key}: images per second / bare forward", ratio, at_least=target))
    return rows


def main() -> None:
    """Prints and writes the rows."""
    parser = arguments(__doc__)
    default = os.environ.get("OTCXR_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], default=[*NETWORKS])
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    torch.manual_seed(0)
    np.random.seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        images, folder = args.data / "nih" / "images", Path(temporary)
        rows = [r for name in args.networks for r in measure(name, images, folder, args.rounds)]
    finish(rows, args.out)


if __name__ == "__main__":
    main()
