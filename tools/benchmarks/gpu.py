"""What pre-training costs on a GPU, in one command of a few minutes: transport, step, memory, precision, processes.

python tools/benchmarks/gpu.py [--device cuda] [--quick] [--transport] [--out FILE]

A step is that of configs/otcxr_r50_nih.py, ResNet-50 at 224 pixels, on fixed random views: normalisation, forward,
losses, backward, AdamW; peers are those of tools/benchmarks/step.py. `--quick` rehearses all of it at small sizes, also
on a CPU. Transport against POT: tools/benchmarks/sinkhorn.py --device cuda.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from _report import arguments, finish, paired, row
from step import NETWORKS, models

NETWORK = NETWORKS["ResNet-50 at 224"]


class Step:
    """A training step on fixed random views.

    Args:
        model: Config.
        device: Where.
        side: Of the views, in pixels.
        dtype: Of autocast; None: float32.
    """

    def __init__(self, model: dict, device: str, side: int, dtype: torch.dtype | None) -> None:
        from otcxr_mm.registry import MODELS

        torch.manual_seed(0)
        self.model = MODELS.build(model).to(device, memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-6)
        self.device, self.side, self.dtype = device, side, dtype
        self.scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16 and device != "cpu")

    def batch(self, size: int) -> dict:
        """A batch as the loader gives it, on the host."""
        from mmpretrain.structures import DataSample

        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(2, size, 1, 8, 8, generator=generator)
        views = [torch.nn.functional.interpolate(view, (self.side,) * 2, mode="bicubic") for view in coarse]
        geometry = torch.tensor([[[1.0, 0, 0], [0, 1, 0]], [[0.8, 0, 0.1], [0, 0.8, 0.1]]]).numpy()
        samples = [DataSample(metainfo=dict(view_to_image=geometry)) for _ in range(size)]
        return dict(inputs=[(255 * view.clamp(0, 1)).to(torch.uint8) for view in views], data_samples=samples)

    def losses(self, batch: dict) -> dict[str, torch.Tensor]:
        """Its losses."""
        data = self.model.data_preprocessor(batch, training=True)
        with torch.autocast(self.device, dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None):
            return self.model(**data, mode="loss")

    def __call__(self, batch: dict) -> None:
        """Updates the weights, and waits for it."""
        loss, _ = self.model.parse_losses(self.losses(batch))
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        synchronize(self.device)


def synchronize(device: str) -> None:
    """Waits until the device has done all that it was asked to."""
    if device != "cpu":
        torch.cuda.synchronize()


def peak(device: str, function: Callable[[], object]) -> float:
    """Memory that a call takes beyond what is allocated before it, GiB; 0 on a CPU, where torch does not count it."""
    if device == "cpu":
        function()
        return 0.0
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    return (torch.cuda.max_memory_allocated() - before) / 2**30


def time_and_memory(device: str, side: int, sizes: tuple[int, ...], rounds: int) -> list[dict]:
    """Rows: a step in bfloat16 against Barlow Twins', images a second, and the largest batch."""
    rows = []
    kinds = ("OTCXR", "Barlow Twins", "VICReg")
    steps = {kind: Step(models(NETWORK)[kind], device, side, torch.bfloat16) for kind in kinds}
    peaks: dict[int, float] = {}
    for size in sizes:
        batch = steps["OTCXR"].batch(size)
        calls = {name: lambda step=step, batch=batch: step(batch) for name, step in steps.items()}
        seconds = paired(calls, rounds)
        memory = {name: peak(device, call) for name, call in calls.items()}
        peaks[size] = memory["OTCXR"]
        what = f"ResNet-50 at {side}, batch {size}, bf16"
        for peer in kinds[1:]:
            ratio = seconds["OTCXR"] / seconds[peer]
            rows.append(row(f"{what}: time of a step of OTCXR / {peer}", ratio, at_most=1.05))
            if device != "cpu":
                rows.append(row(f"{what}: memory of a step of OTCXR / {peer}", memory["OTCXR"] / memory[peer]))
        rows.append(row(f"{what}: images a second", size / seconds["OTCXR"]))
        if device != "cpu":
            rows.append(row(f"{what}: memory of a step of OTCXR, GiB", memory["OTCXR"]))
        rows.append(row(f"{what}: share of transport in the step", transport_share(steps["OTCXR"], size, rounds), 0.05))
        if device != "cpu":
            share = transport_share(steps["OTCXR"], size, rounds, kernel=True)
            rows.append(row(f"{what}: the same with the fused kernel", share, 0.05))
    if device != "cpu":
        each = (peaks[sizes[-1]] - peaks[sizes[0]]) / (sizes[-1] - sizes[0])
        largest, memory = largest_batch(steps.pop("OTCXR"), each)
        rows.append(row(f"ResNet-50 at {side}, bf16: a batch that fits into {memory:.0f} GiB of free memory", largest))
    return rows


def largest_batch(step: Step, each: float) -> tuple[int, float]:
    """A batch that fits, from the memory that an image takes, GiB; and the free memory."""
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info()[0] / 2**30
    size = int(0.95 * free / each) // 32 * 32
    while True:
        try:
            step(step.batch(size))
            return size, free
        except torch.OutOfMemoryError:
            size -= max(32, size // 20 // 32 * 32)
            step.optimizer.zero_grad()
            torch.cuda.empty_cache()


@contextmanager
def fused(on: bool) -> Iterator[None]:
    """Switches the fused kernel of transport on or off."""
    before = os.environ.get("OTCXR_FUSED_TRANSPORT", "0")
    os.environ["OTCXR_FUSED_TRANSPORT"] = str(int(on))
    try:
        yield
    finally:
        os.environ["OTCXR_FUSED_TRANSPORT"] = before


def random_costs(device: str, size: int, atoms: int) -> torch.Tensor:
    """The same costs in every call, (size, atoms, atoms)."""
    return torch.rand(size, atoms, atoms, generator=torch.Generator().manual_seed(0)).to(device)


def transport(device: str, size: int, atoms: int, kernel: bool, eps: float, n_iters: int) -> Callable[[], None]:
    """Transport of a batch, forward and backward, by the fused kernel or without it."""
    from otcxr_mm.ops import sinkhorn

    cost = random_costs(device, size, atoms).requires_grad_()

    def run() -> None:
        with fused(kernel):
            sinkhorn(cost, eps=eps, n_iters=n_iters).value.sum().backward()
        synchronize(device)

    return run


def transport_share(step: Step, size: int, rounds: int, kernel: bool = False) -> float:
    """Time of all transport of a step, forward and backward, as a share of the step's."""
    loss, atoms = step.model.head.loss_ot, step.model.neck.max_tokens + 1
    batch = step.batch(size)

    def run() -> None:
        with fused(kernel):
            step(batch)

    alone = transport(step.device, size, atoms, kernel, loss.eps, loss.n_iters)
    seconds = paired({"transport": alone, "step": run}, rounds)
    return seconds["transport"] / seconds["step"]


def fused_difference(device: str, size: int, atoms: int, eps: float, n_iters: int) -> float:
    """Largest sum of a row's differences between the plans of the fused kernel and of `scale`, over its mass."""
    from otcxr_mm.ops import sinkhorn

    cost, plans = random_costs(device, size, atoms), {}
    for kernel in (False, True):
        with fused(kernel):
            plans[kernel] = sinkhorn(cost, eps=eps, n_iters=n_iters).plan
    return atoms * (plans[True] - plans[False]).abs().sum(2).max().item()


def fused_transport(device: str, rounds: int) -> list[dict]:
    """Rows: time of transport by many kernels against the fused one, 25 iterations, forward and backward."""
    rows, settings = [], {"eps": 0.05, "n_iters": 25}
    for size in (64, 256) if device != "cpu" else ():
        for atoms in (50, 197):
            calls = {kernel: transport(device, size, atoms, kernel, **settings) for kernel in (False, True)}
            seconds = paired(calls, rounds)
            what = f"transport, batch {size}, N={atoms}"
            rows.append(row(f"{what}: time of scale / fused kernel", seconds[False] / seconds[True]))
            rows.append(row(f"{what}: time of the fused kernel, ms", 1e3 * seconds[True]))
            apart = fused_difference(device, size, atoms, **settings)
            rows.append(row(f"{what}: largest difference of a row's plan, fused kernel / scale", apart, 1e-5))
    return rows


def precision(device: str, side: int, size: int) -> list[dict]:
    """Rows: losses under autocast against float32, on the same weights and views."""
    kinds = {"float32": None, "bf16": torch.bfloat16} | ({} if device == "cpu" else {"fp16": torch.float16})
    losses = {}
    for kind, dtype in kinds.items():
        step = Step(models(NETWORK)["OTCXR"], device, side, dtype)
        with torch.no_grad():
            losses[kind] = {k: v.double().item() for k, v in step.losses(step.batch(size)).items() if "loss" in k}
    rows = []
    for kind in kinds.keys() - {"float32"}:
        worst = max(abs(value - losses["float32"][key]) / abs(value) for key, value in losses[kind].items())
        rows.append(row(f"largest relative difference of a loss, {kind} / float32, batch {size}", worst))
    return rows


def _process(rank: int, world: int, device: str, side: int, size: int, folder: str) -> None:
    """One of `world` processes, which has its share of the batch; the first writes the losses of all."""
    from mmengine.registry import init_default_scope

    init_default_scope("mmpretrain")
    torch.set_num_threads(1)
    if device != "cpu":
        torch.cuda.set_device(rank)
    backend = "gloo" if device == "cpu" else "nccl"
    dist.init_process_group(backend, init_method=f"file://{folder}/{world}", rank=rank, world_size=world)
    step = Step(models(NETWORK)["OTCXR"], device, side, None)
    step.model.backbone.eval()  # its batch norm would see the share of this process alone
    whole, share = step.batch(size), slice(rank * size // world, (rank + 1) * size // world)
    batch = dict(inputs=[view[share] for view in whole["inputs"]], data_samples=whole["data_samples"][share])
    with torch.no_grad():
        losses = torch.stack([v.double() for k, v in sorted(step.losses(batch).items()) if "loss" in k])
    dist.all_reduce(losses)
    if rank == 0:
        torch.save(losses / world, f"{folder}/{world}.pth")
    dist.destroy_process_group()


def processes(device: str, side: int, size: int) -> list[dict]:
    """Row: losses of two processes against one with the joint batch, float32."""
    if device != "cpu" and torch.cuda.device_count() < 2:
        return []
    with tempfile.TemporaryDirectory() as folder:
        for world in (1, 2):
            mp.spawn(_process, (world, device, side, size, folder), nprocs=world)
        one, two = (torch.load(f"{folder}/{world}.pth", weights_only=True) for world in (1, 2))
    worst = ((two - one).abs() / one.abs().clamp_min(1e-12)).max().item()
    return [row(f"largest relative difference of a loss, two processes / one, batch {size}", worst, 1e-5)]


def main() -> None:
    """Prints and writes the rows."""
    parser = arguments(__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    parser.add_argument("--transport", action="store_true", help="the fused kernel of transport only")
    args = parser.parse_args()
    if args.transport:
        finish(fused_transport(args.device, 9), args.out)
    from mmengine.registry import init_default_scope

    init_default_scope("mmpretrain")
    start = time.time()
    if args.device == "cpu" and not args.quick:
        print("no GPU: nothing is measured; --quick rehearses on the CPU")
        finish([], args.out)
    side, sizes, rounds = (64, (4, 8), 1) if args.quick else (224, (64, 256), 9)
    rows = [*time_and_memory(args.device, side, sizes, rounds), *precision(args.device, side, sizes[0])]
    rows += fused_transport(args.device, rounds)
    rows += processes(args.device, side, sizes[0])
    name = torch.cuda.get_device_name() if args.device != "cpu" else "CPU"
    print(f"{name}, torch {torch.__version__}, {time.time() - start:.0f} s")
    finish(rows, args.out)


if __name__ == "__main__":
    main()
