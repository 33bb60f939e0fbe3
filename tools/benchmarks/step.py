"""Time of a training step of OTCXR against Barlow Twins' and VICReg's, on the same backbone, views and threads.

python tools/benchmarks/step.py [--batch N ...] [--threads N] [--rounds N] [--networks NAME ...] [--parts] [--quick]
    [--out FILE]

A step is the normalisation of two views, forward, losses, backward and AdamW, in float32 on the CPU, without reading
images; on a GPU: gpu.py. Barlow Twins is MMPretrain's algorithm, neck, head and loss, from the config that it
ships. VICReg is MMPretrain's two-view algorithm with VICRegHead, as in configs/demo/vicreg_r18_synthetic.py. The
projectors of both have their published 8,192 channels on the ResNet-50 and 512 on the small networks. The rows with
targets have the channels first in memory, as MMPretrain has them; OTCXR's option channels_last is compared with that
and with Barlow Twins on such views. All methods run in turn. --parts adds the shares of OTCXR's step; --quick takes the
smallest network, one batch size and few rounds.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _report import arguments, finish, paired, row
from _step_parts import shares

ROOT = Path(__file__).resolve().parents[2]
VICREG = "demo/vicreg_r18_synthetic.py"
BARLOW_TWINS = ".mim/configs/barlowtwins/barlowtwins_resnet50_8xb256-coslr-300e_in1k.py"  # of MMPretrain
LAST = ", channels last"
INFUSED = {"neck": {"infusion": "both"}, "head": {"guard": True}}


class Network(NamedTuple):
    """A backbone to compare on, and the largest ratio of OTCXR's step to each peer's."""

    config: str
    side: int
    channels: int  # of the last stage
    projector: int  # channels of the peers'
    batches: tuple[int, ...]
    at_most: dict[tuple[str, str], float]
    rounds: int = 7


# the thin ResNet-18 is the smallest network of the configs, so what OTCXR adds weighs most there
NETWORKS = {
    "thin ResNet-18 at 96": Network(
        "otcxr_r18_cpu.py",
        96,
        256,
        512,
        (32, 64),
        {
            ("OTCXR", "Barlow Twins"): 1.15,
            ("OTCXR with infusion and guard", "Barlow Twins"): 1.3,
            ("OTCXR", "VICReg"): 1.3,
        },
    ),
    "MobileNetV2 at 96": Network(
        "otcxr_mobilenetv2_imagenet_cpu.py", 96, 1280, 512, (32, 64), {("OTCXR", "VICReg"): 1.3}
    ),
    "ResNet-50 at 224": Network("otcxr_r50_nih.py", 224, 2048, 8192, (32,), {("OTCXR", "VICReg"): 1.05}, 3),
}


def step(model: dict, side: int, batch: int, last: bool = False, compiled: bool = False) -> Callable[[], None]:
    """A training step of a model on fixed random views.

    `last`: a peer's with the channels last in memory; `compiled`: with a compiled backbone, as by CompileHook.
    """
    from mmpretrain.structures import DataSample

    from otcxr_mm.models.selfsup.otcxr import channels_last
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
        if last:
            data["inputs"] = list(map(channels_last, data["inputs"]))
        loss, _ = built.parse_losses(built(**data, mode="loss"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run


def models(network: Network) -> dict[str, dict]:
    """Configs of the methods on one backbone."""
    import mmpretrain
    from mmengine.config import Config

    ours = Config.fromfile(ROOT / "configs" / network.config).model
    infused = Config(dict(model=ours))
    infused.merge_from_dict(dict(model=INFUSED))
    peers = {
        "Barlow Twins": Config.fromfile(Path(mmpretrain.__file__).parent / BARLOW_TWINS).model,
        "VICReg": Config.fromfile(ROOT / "configs" / VICREG).model,
    }
    last, width = ours.backbone.out_indices[-1], network.projector
    for peer in peers.values():
        peer.backbone, peer.data_preprocessor = {**ours.backbone, "out_indices": (last,)}, ours.data_preprocessor
        peer.neck.update(
            in_channels=network.channels, hid_channels=width, out_channels=width, norm_cfg=dict(type="BN1d")
        )
    peers["Barlow Twins"].head.in_channels = width
    return {**peers, "OTCXR": ours, "OTCXR with infusion and guard": infused.model}


def measure(name: str, batch: int, rounds: int) -> list[dict]:
    """Rows of one network and batch size."""
    network = NETWORKS[name]
    steps = {}
    for kind, model in models(network).items():
        steps[kind] = step(model, network.side, batch)
        if kind.startswith("OTCXR"):
            steps[kind + LAST] = step({**model, "channels_last": True}, network.side, batch)
        elif kind == "Barlow Twins":
            steps[kind + LAST] = step(model, network.side, batch, last=True)
    # with one thread, CPU time is the time of an idle machine
    seconds = paired(steps, rounds, time.process_time if torch.get_num_threads() == 1 else time.perf_counter)
    return [
        row(
            f"{name}, batches of {batch}: time of a step of {kind} / {peer}",
            seconds[kind] / seconds[peer],
            at_most=network.at_most.get((kind, peer)),
        )
        for peer in ("Barlow Twins", "Barlow Twins" + LAST, "VICReg")
        for kind in seconds
        if kind.startswith("OTCXR") and (peer == "Barlow Twins" or kind.endswith(LAST) == peer.endswith(LAST))
    ]


def main() -> None:
    """Prints and writes the rows."""
    parser = arguments(__doc__)
    parser.add_argument("--batch", type=int, nargs="+", help="default: 32 and 64; 32 on the ResNet-50")
    parser.add_argument("--threads", type=int, default=int(os.environ["OMP_NUM_THREADS"]))
    parser.add_argument("--rounds", type=int, help="default: 7; 3 on the ResNet-50")
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], default=[*NETWORKS])
    parser.add_argument("--parts", action="store_true", help="also the shares of the parts of OTCXR's step")
    parser.add_argument("--quick", action="store_true", help="one network, one batch size, 3 rounds")
    args = parser.parse_args()
    from mmengine.registry import init_default_scope

    init_default_scope("mmpretrain")
    torch.set_num_threads(args.threads)
    if args.quick:
        args.networks, args.batch, args.rounds = args.networks[:1], (args.batch or [32])[:1], 3
    rows = []
    for name in args.networks:
        network = NETWORKS[name]
        rounds = args.rounds or network.rounds
        for batch in args.batch or network.batches:
            rows += measure(name, batch, rounds)
            if args.parts:
                for kind, model in models(network).items():
                    if kind.startswith("OTCXR"):
                        found = shares(model, network.side, batch, rounds)
                        rows += [row(f"{name}, batches of {batch}, {kind}: {part}", v) for part, v in found.items()]
    finish(rows, args.out)


if __name__ == "__main__":
    main()
