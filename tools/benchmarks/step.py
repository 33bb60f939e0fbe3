"""Time of a training step of OTCXR against VICReg's, on the same backbone, views and threads.

python tools/benchmarks/step.py [--batch N] [--rounds N] [--networks NAME ...] [--out FILE]

A step is the normalisation of two views, forward, losses, backward and AdamW, in float32, without reading images.
VICReg is MMPretrain's two-view algorithm with VICRegHead, as in configs/demo/vicreg_r18_synthetic.py; its expander has
512 channels on the small networks, and VICReg's published 8,192 on the ResNet-50. All methods run in turn.
"""

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _report import arguments, finish, paired, row

ROOT = Path(__file__).resolve().parents[2]
VICREG = "demo/vicreg_r18_synthetic.py"
# config, side of the views, channels of the last stage, VICReg's expander, largest ratio
NETWORKS = {
    "thin ResNet-18 at 96": ("otcxr_r18_cpu.py", 96, 256, 512, 1.3),
    "MobileNetV2 at 96": ("otcxr_mobilenetv2_imagenet_cpu.py", 96, 1280, 512, 1.3),
    "ResNet-50 at 224": ("otcxr_r50_nih.py", 224, 2048, 8192, 1.05),
}
INFUSED = {"neck": {"infusion": "both"}, "head": {"guard": True}}


def step(model: dict, side: int, batch: int, compiled: bool = False) -> Callable[[], None]:
    """A training step of a model on fixed random views; `compiled`: its backbone, as by CompileHook."""
    from mmpretrain.structures import DataSample

    from otcxr_mm.registry import MODELS

    torch.manual_seed(0)
    built = MODELS.build(model).train()
    if compiled:
        built.backbone.forward = torch.compile(built.backbone.forward, fullgraph=True)
    optimizer = torch.optim.AdamW(built.parameters(), lr=1e-6)
    views = [torch.randint(256, (batch, 1, side, side), dtype=torch.uint8) for _ in range(2)]
    geometry = torch.tensor([[[1.0, 0, 0], [0, 1, 0]], [[0.8, 0, 0.1], [0, 0.8, 0.1]]]).numpy()
    samples = [DataSample(metainfo=dict(view_to_image=geometry)) for _ in range(batch)]

    def run() -> None:
        data = built.data_preprocessor(dict(inputs=views, data_samples=samples), training=True)
        loss, _ = built.parse_losses(built(**data, mode="loss"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run


def measure(name: str, batch: int, rounds: int) -> list[dict]:
    """Rows of one network."""
    from mmengine.config import Config

    file, side, channels, hidden, most = NETWORKS[name]
    ours = Config.fromfile(ROOT / "configs" / file).model
    infused = Config(dict(model=ours))
    infused.merge_from_dict(dict(model=INFUSED))
    theirs = Config.fromfile(ROOT / "configs" / VICREG).model
    last = ours.backbone.out_indices[-1]
    theirs.backbone, theirs.data_preprocessor = {**ours.backbone, "out_indices": (last,)}, ours.data_preprocessor
    theirs.neck.update(in_channels=channels, hid_channels=hidden, out_channels=hidden)
    models = {"VICReg": theirs, "OTCXR": ours, "OTCXR with infusion and guard": infused.model}
    seconds = paired({kind: step(model, side, batch) for kind, model in models.items()}, rounds)
    targets = {"OTCXR": most}
    return [
        row(f"{name}: time of a step of {kind} / VICReg's", value / seconds["VICReg"], at_most=targets.get(kind))
        for kind, value in seconds.items()
        if kind != "VICReg"
    ]


def main() -> None:
    """Prints and writes the rows."""
    parser = arguments(__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], default=[*NETWORKS])
    args = parser.parse_args()
    from mmengine.registry import init_default_scope

    init_default_scope("mmpretrain")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    finish([r for name in args.networks for r in measure(name, args.batch, args.rounds)], args.out)


if __name__ == "__main__":
    main()
