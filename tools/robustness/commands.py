"""The commands that kills.py kills, and what each comes to."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from otcxr_mm.utils.checkpoints import load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tests.conftest import write_image  # noqa: E402
from tests.engine.runs import config  # noqa: E402
from tests.evaluation.records import write_run  # noqa: E402


@dataclass
class Command:
    """A command that writes into a folder, and what it comes to.

    Attributes:
        start: Arguments of `otcxr`, from the folder.
        again: What is added after a kill.
        result: The content that must be the same, from the folder.
        processes: More than 1 for torchrun, whose processes are started anew each time.
    """

    start: Callable[[Path], list]
    result: Callable[[Path], object]
    again: list[str] = field(default_factory=list)
    processes: int = 1


def tensors(name: str, *keys: str) -> Callable[[Path], object]:
    """Parts of a checkpoint as plain values, with the bytes of tensors."""

    def plain(value: object) -> object:
        if isinstance(value, torch.Tensor):
            return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value

    def read(folder: Path) -> object:
        checkpoint = load_checkpoint(folder / name)
        return plain([checkpoint[key] for key in keys] if keys else checkpoint)

    return read


def packed(folder: Path) -> list[bytes]:
    """Pixels of packed images, in the order of their names."""
    from otcxr_mm import PackedImages

    images = PackedImages(folder / "packed")
    return [images[row].tobytes() for row in np.argsort(images.paths)]


def commands(inputs: Path) -> dict[str, Command]:
    """The commands by name; their inputs are written once."""
    for i in range(22):
        write_image(inputs / "images" / f"{i:02d}.png", (48, 48))
    for i in range(300):
        write_image(inputs / "many" / f"{i:03d}.png", (200, 200))
    write_run(inputs / "runs" / "a", "a")
    write_run(inputs / "runs" / "b", "b")
    (inputs / "many.py").write_text(
        f'train_dataloader = dict(dataset=dict(type="otcxr_mm.UnlabeledCXR", data_root="{inputs / "many"}"))\n'
    )
    for name, kind, changes in (("linear", "linear", {}), ("finetune", "finetune", {}), ("knn", "linear", {})):
        config(inputs / name, kind, **changes).dump(str(inputs / f"{name}.py"))
    knn = ["model.head.type=otcxr_mm.KNNHead"]
    state = tensors("work/iter_24.pth", "state_dict", "optimizer", "param_schedulers")

    def train(file: object, *more: str) -> Callable[[Path], list]:
        return lambda folder: ["train", file, "--work-dir", folder / "work", *more]

    tiny, workers = ROOT / "tests" / "tiny.py", "train_dataloader.num_workers=2"
    return {
        "no workers": Command(train(tiny), state, ["--resume"]),
        "2 workers": Command(train(tiny, "--cfg-options", workers), state, ["--resume"]),
        "accumulation": Command(
            train(tiny, "--cfg-options", "optim_wrapper.accumulative_counts=2", "default_hooks.checkpoint.interval=4"),
            state,
            ["--resume"],
        ),
        "bfloat16": Command(train(tiny, "--amp"), state, ["--resume"]),
        "linear": Command(train(inputs / "linear.py"), tensors("work/linear.pth", "state_dict"), ["--resume"]),
        "knn": Command(
            train(inputs / "knn.py", "--cfg-options", *knn), tensors("work/knn.pth", "state_dict"), ["--resume"]
        ),
        "fine-tuning": Command(
            train(inputs / "finetune.py"), tensors("work/iter_4.pth", "state_dict", "optimizer"), ["--resume"]
        ),
        "packing": Command(lambda f: ["prepare", inputs / "many.py", f / "packed", "--size", "64"], packed),
        "table": Command(
            lambda f: ["table", inputs / "runs", "--out", f / "out"],
            lambda f: [(f / "out" / f"table.{kind}").read_bytes() for kind in ("md", "csv", "tex")],
        ),
        # of the uninterrupted run above
        "export": Command(
            lambda f: ["export", f.parents[1] / "no workers" / "whole" / "work", "--out", f / "b.pth"],
            tensors("b.pth"),
            ["--force"],
        ),
        "2 processes": Command(
            train(tiny, "--launcher", "pytorch"),
            tensors("work/iter_12.pth", "state_dict", "optimizer"),
            ["--resume"],
            processes=2,
        ),
    }
