"""Whether a training fits, and how long it takes, from a few of its iterations: `tools/train.py CONFIG --estimate`."""

import json
import math
import multiprocessing
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import all_gather_object, broadcast_object_list, get_world_size, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.runner.amp import autocast
from torch.utils.data import DataLoader

from ..datasets.audit import markdown
from ..engine.hooks import AtomicCheckpointHook
from ..engine.model import bare_model
from ..engine.runner.frozen import FrozenEvalLoop
from ..fileio import write_whole
from ..models.heads import KNNHead
from .launch import build_runner

ITERATIONS = 30  # measured at most
FEWEST = 5
SECONDS = 20.0
VAL_BATCHES = 8
WAITING = 0.3  # share of the time from which on the loader is named as what one waits for
HISTORY = 10**6  # numbers of a logged value that MMEngine keeps

_now = time.perf_counter


class _Enough(Exception):
    """Ends the loop that is measured."""


class _Counted(LocalBackend):
    """Takes files and keeps their size alone."""

    sizes: list[int] = []

    def put(self, obj: bytes | memoryview, filepath: str | os.PathLike) -> None:
        """Counts the bytes."""
        self.sizes.append(len(obj))


register_backend("otcxr_counted", _Counted, force=True)


@dataclass
class Times:
    """Seconds of the batches of a loader.

    Attributes:
        first: Until the first batch of an epoch is there, workers started; one an epoch.
        data: Waiting for another batch.
        compute: All the rest of an iteration.
    """

    first: list[float] = field(default_factory=list)
    data: list[float] = field(default_factory=list)
    compute: list[float] = field(default_factory=list)

    def total(self, batches: int, epochs: int = 1) -> float:
        """Seconds of so many batches in so many epochs.

        Means, not medians: workers that are the bottleneck deliver a batch each at once, and most waits are zero.
        """
        first = statistics.median(self.first) if self.first else _mean(self.data)
        return batches * _mean(self.compute) + max(0, batches - epochs) * _mean(self.data) + epochs * first

    @property
    def waiting(self) -> float:
        """Share of the time that is spent waiting for data."""
        data = _mean(self.data or self.first)
        return data / (data + _mean(self.compute)) if self.compute else 0.0


@dataclass
class Measured:
    """What was seen of a run.

    Attributes:
        start: Seconds until the first iteration, and what the first ones took longer than the others.
        epoch_end: Seconds of the hooks at the end of an epoch.
        memory: Bytes at the peak, and those that there are for it.
        batch_that_fits: Batch size that the GPU's memory is enough for, by extrapolation.
    """

    train: Times = field(default_factory=Times)
    val: Times = field(default_factory=Times)
    start: float = 0.0
    epoch_end: float = 0.0
    iterations: int = 0
    epochs: int = 1
    validations: int = 0
    checkpoint: int = 0
    backbone: int = 0
    features: int = 0
    memory: tuple[int, int] | None = None
    batch_that_fits: int | None = None


def estimate(cfg: Config, out: str | None = None) -> bool:
    """Measures a few iterations of the training that a config asks for, prints what it will need, and says if it fits.

    The run is built as training builds it, in a temporary work dir, without trackers. Nothing is written elsewhere.

    Args:
        cfg: As training gets it, with its work dir.
        out: JSON file for the figures.

    Returns:
        Whether memory and disk suffice; False after an out-of-memory, too.
    """
    began = _now()
    with tempfile.TemporaryDirectory(prefix="otcxr_estimate_") as folder:
        notes: list[str] = []
        runner = build_runner(_detached(cfg, folder, notes))
        try:
            measured = _measure(runner, began)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            batch = cfg.train_dataloader.batch_size
            less = f"train_dataloader.batch_size={max(1, batch // 2)}" if batch > 1 else "smaller images"
            print(f"DOES NOT FIT: out of memory with train_dataloader.batch_size={batch}: try {less}, or --amp")
            return False
        report = _report(cfg, runner, measured, notes)
    if is_main_process():
        print(text(report))
        if out is not None:
            write_whole(out, (json.dumps(report, indent=2) + "\n").encode())
    verdict = [report["fits"]]
    broadcast_object_list(verdict)
    return verdict[0]


def _detached(cfg: Config, folder: str, notes: list[str]) -> Config:
    """The config of the same run that leaves nothing: other work dir, no trackers, no checkpoints of its own."""
    cfg = deepcopy(cfg)
    cfg.work_dir, cfg.log_level, cfg.resume = folder, "WARNING", False
    cfg.visualizer = dict(type="mmengine.Visualizer")
    hooks = cfg.get("default_hooks") or {}
    if hooks.get("checkpoint"):
        hooks.checkpoint.update(interval=-1, save_last=False, save_best=None, out_dir=None)
    if hooks.get("logger"):
        hooks.logger.pop("out_dir", None)
    kept = []
    for hook in cfg.get("custom_hooks") or []:
        name = str(hook.get("type")).split(".")[-1] if isinstance(hook, dict) else ""
        if name == "LoadBackboneHook" and hook.get("checkpoint") and not os.path.isfile(hook["checkpoint"]):
            notes.append(f"{hook['checkpoint']} is not there yet: measured with random weights")
            hook = {**hook, "checkpoint": None}
        if name != "ProgressBarHook":
            kept.append(hook)
    cfg.custom_hooks = kept
    return cfg


class _Begin(Hook):
    """Looks at the clock before anything else does."""

    priority = "HIGHEST"

    def __init__(self, watch: "_Watch") -> None:
        self.watch = watch

    def before_run(self, runner: Runner) -> None:
        """Puts the measurement in place of a loop without iterations."""
        if isinstance(runner.train_loop, FrozenEvalLoop):
            runner.train_loop.run = lambda: self.watch.frozen(runner)

    def before_train(self, runner: Runner) -> None:
        self.watch.plan(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        self.watch.epoch_began = _now()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        self.watch.batch_came()


class _End(Hook):
    """Looks at the clock after everything else."""

    priority = "LOWEST"

    def __init__(self, watch: "_Watch") -> None:
        self.watch = watch

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: dict | None = None
    ) -> None:
        self.watch.iteration_ended(runner)


class _Watch:
    """Takes the times of a training until there are enough of them."""

    def __init__(self, began: float) -> None:
        self.found, self.began = Measured(), began
        self.warm, self.times = Times(), Times()
        self.epoch_began: float | None = None
        self.ended: float | None = None
        self.warm_ended: float | None = None
        self.base = 0

    def plan(self, runner: Runner) -> None:
        """Notes how long the training is, and lets the loop go on without validation until it is stopped."""
        loop, found = runner.train_loop, self.found
        if isinstance(loop, FrozenEvalLoop):
            return
        found.iterations, found.epochs = runner.max_iters, 1
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        if by_epoch:
            found.epochs = runner.max_epochs
        if runner.val_loop is not None:
            found.validations = _validations(
                found.epochs if by_epoch else found.iterations, loop.val_begin, loop.val_interval
            )
        loop.val_begin = math.inf
        loop._max_epochs = loop._max_iters = 10**9
        workers, ahead = runner.train_dataloader.num_workers, runner.train_dataloader.prefetch_factor or 0
        # what the workers have ready before the first iteration says nothing of how fast they are
        self.workers, self.warm_up = max(1, workers), max(3, workers * ahead)

    def batch_came(self) -> None:
        """A batch is there."""
        now = _now()
        times = self.times if self.warm_ended is not None else self.warm
        if self.epoch_began is not None:
            self.times.first.append(now - self.epoch_began)
            if self.ended is None:
                self.found.start, self.first_came = self.epoch_began - self.began, now
            self.epoch_began = None
        else:
            times.data.append(now - self.ended)
        self.came = now

    def iteration_ended(self, runner: Runner) -> None:
        """An iteration is done, with all hooks."""
        _synchronise()
        now = _now()
        times = self.times if self.warm_ended is not None else self.warm
        times.compute.append(now - self.came)
        n = len(times.compute)
        if self.warm_ended is None:
            enough = n >= self.warm_up or now - self.first_came > SECONDS
        else:
            passed = now - self.warm_ended
            enough = n >= ITERATIONS or (n >= FEWEST and passed >= SECONDS) or (n >= 2 and passed >= 3 * SECONDS)
            enough &= n % self.workers == 0 or passed >= 2 * SECONDS
        decision = [enough]
        if get_world_size() > 1:  # together, or the others wait for ever
            broadcast_object_list(decision)
        if decision[0] and self.warm_ended is not None:
            raise _Enough
        if decision[0]:
            self.warm_ended = now
            if torch.cuda.is_available():
                self.base = torch.cuda.memory_allocated()
                self.reserved = torch.cuda.max_memory_reserved()
                torch.cuda.reset_peak_memory_stats()
        self.ended = _now()

    def finish(self) -> None:
        """What the first iterations took longer belongs to the start."""
        self.found.train = self.times
        warm = sum(self.warm.compute) + sum(self.warm.data)
        usual = len(self.warm.compute) * _mean(self.times.compute) + len(self.warm.data) * _mean(self.times.data)
        self.found.start += max(0.0, warm - usual)

    @torch.no_grad()
    def frozen(self, runner: Runner) -> None:
        """Measures an evaluation of a frozen backbone in place of running it."""
        loop, model, found = runner.train_loop, bare_model(runner), self.found
        loop.check(model)
        runner.call_hook("before_train")
        found.iterations, found.epochs = len(loop.dataloader), 1
        model.eval()
        found.start = _now() - self.began
        width = []

        def step(batch: dict) -> None:
            data = model.data_preprocessor(batch, False)
            features = model.extract_feat(data["inputs"])[-1].float().cpu()
            width[:] = [features[0].numel() + data["data_samples"][0].gt_score.numel()]

        found.train = _time_batches(loop.dataloader, step, ITERATIONS)
        images = len(loop.dataloader.dataset)
        if loop.calibrate:
            found.start += found.train.total(-(-min(1024, images) // loop.dataloader.batch_sampler.batch_size))
        if runner.val_loop is not None:
            # once for the features of these images, once for the figures of the fitted head
            found.validations = 2
            found.val = _time_batches(runner.val_loop.dataloader, step, VAL_BATCHES)
            images += len(runner.val_loop.dataloader.dataset)
        if loop.cache is not None:
            found.features = 4 * images * width[0]
        if isinstance(model.head, KNNHead):  # keeps those of the training images
            found.checkpoint = 4 * len(loop.dataloader.dataset) * width[0]
        raise _Enough


def _measure(runner: Runner, began: float) -> Measured:
    """Trains for a few iterations, validates on a few batches, and looks at memory and sizes of files."""
    watch = _Watch(began)
    for hook in (_Begin(watch), _End(watch)):
        runner.register_hook(hook)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        runner.train()
    except _Enough:
        pass
    finally:
        for hook in runner.hooks:
            if isinstance(hook, AtomicCheckpointHook):
                hook._give_back()
    frozen = isinstance(runner.train_loop, FrozenEvalLoop)
    if not frozen and not watch.times.compute:
        raise SystemExit(
            f"--estimate: {type(runner.train_loop).__name__} calls no hooks of an iteration: nothing can be measured"
        )
    found = watch.found
    if not frozen:
        watch.finish()
    host = _host_memory()
    if torch.cuda.is_available():
        _gpu_batch(runner, watch)
    if not frozen:
        began = _now()
        runner.call_hook("after_train_epoch")
        found.epoch_end = _now() - began
    if found.validations and not frozen:
        found.val = _validate(runner)
        host = max(host, _host_memory())
    found.memory = _gpu_memory(watch) if torch.cuda.is_available() else _all_of_host(host)
    if is_main_process():
        _sizes(runner, found, len(watch.warm.compute) + len(watch.times.compute))
    return found


@torch.no_grad()
def _validate(runner: Runner) -> Times:
    loop = runner.val_loop
    runner.model.eval()

    def step(batch: dict) -> None:
        with autocast(enabled=loop.fp16):
            samples = runner.model.val_step(batch)
        loop.evaluator.process(data_samples=samples, data_batch=batch)

    return _time_batches(loop.dataloader, step, VAL_BATCHES)


def _time_batches(loader: DataLoader, step: Callable[[dict], None], most: int) -> Times:
    """Times of the first batches; the compute of the very first is not counted unless it is the only one."""
    times, ended, began = Times(), _now(), _now()
    most = max(most, 2 * loader.num_workers)
    for number, batch in enumerate(loader):
        came = _now()
        step(batch)
        _synchronise()
        (times.data if number else times.first).append(came - ended)
        ended = _now()
        if number == 1:
            times.compute.clear()
        times.compute.append(ended - came)
        late = get_world_size() == 1 and ended - began > SECONDS and number >= 2
        if number + 1 >= most or late:
            break
    return times


def _sizes(runner: Runner, found: Measured, done: int) -> None:
    """Sizes of the files that the training will write."""
    model, loop = bare_model(runner), runner.train_loop
    frozen = isinstance(loop, FrozenEvalLoop)
    hook = next((h for h in runner.hooks if hasattr(h, "save_optimizer")), None)
    if hook is not None:
        options = {name: getattr(hook, name) and not frozen for name in ("save_optimizer", "save_param_scheduler")}
        _Counted.sizes.clear()
        runner.save_checkpoint(runner.work_dir, "x.pth", backend_args={"backend": "otcxr_counted"}, **options)
        found.checkpoint += _Counted.sizes[-1]
    if done:
        # MMEngine keeps each logged number, and writes them all: two of eight bytes
        logged = sum(len(buffer.data[0]) for buffer in runner.message_hub.log_scalars.values())
        found.checkpoint += int(16 * logged / done * max(0, min(found.iterations, HISTORY) - done))
    if any(type(h).__name__ == "ExportBackboneHook" for h in runner.hooks):
        found.backbone = _bytes(model.backbone)


def _bytes(module: torch.nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def _gpu_batch(runner: Runner, watch: _Watch) -> None:
    """Batch size that would fit: what is kept between iterations does not grow with it, the rest does."""
    if isinstance(runner.train_loop, FrozenEvalLoop):
        watch.reserved = torch.cuda.max_memory_reserved()
        return
    peak, batch = torch.cuda.max_memory_allocated(), runner.train_dataloader.batch_sampler.batch_size
    an_image = (peak - watch.base) / batch
    watch.reserved = max(watch.reserved, torch.cuda.max_memory_reserved())
    if an_image > 0:
        watch.found.batch_that_fits = int((0.9 * _gpu_available() - watch.base) / an_image)


def _gpu_available() -> int:
    free, _ = torch.cuda.mem_get_info()
    return free + torch.cuda.memory_reserved()


def _gpu_memory(watch: _Watch) -> tuple[int, int]:
    """Peak and available bytes of the GPU of which least is left, over all processes."""
    own = max(watch.reserved, torch.cuda.max_memory_reserved()), _gpu_available()
    return max(all_gather_object(own), key=lambda pair: pair[0] - pair[1])


def _all_of_host(used: int) -> tuple[int, int] | None:
    """Bytes that the processes of this run use, and those that there are for them."""
    total, available = sum(all_gather_object(used)), _host_available()
    return None if available is None else (total, available + sum(all_gather_object(_resident())))


def _host_memory() -> int:
    """Peak of this process, and what its workers have that is not shared with it, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + _private_of_workers()


def _resident() -> int:
    """What this process and its workers hold now."""
    found = dict(_fields(Path("/proc/self/status")))
    return found.get("VmRSS", 0) + _private_of_workers()


def _private_of_workers() -> int:
    total = 0
    for process in multiprocessing.active_children():
        found = dict(_fields(Path(f"/proc/{process.pid}/smaps_rollup")))
        total += found.get("Private_Clean", 0) + found.get("Private_Dirty", 0)
    return total


def _fields(path: Path) -> Iterator[tuple[str, int]]:
    """`Name: 12 kB` of a file of /proc, in bytes; nothing where there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        name, _, value = line.partition(":")
        if value.endswith("kB"):
            yield name, 1024 * int(value.split()[0])


def _host_available() -> int | None:
    """Memory that is free for more, in bytes: that of the machine, or of the container or job; None if unknown."""
    limits = [value for name, value in _fields(Path("/proc/meminfo")) if name == "MemAvailable"]
    try:
        own = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        own = "/"
    top = Path("/sys/fs/cgroup")
    here = top / own.lstrip("/")
    for folder in {top, here, *here.parents}:
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory/memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            try:
                most = int((folder / limit).read_text())
                inactive = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                taken = int((folder / used).read_text()) - int(inactive.get("inactive_file", 0))
            except (OSError, ValueError):
                continue
            limits.append(max(0, most - taken))
    return min(limits, default=None)


def _disk_free(folder: str) -> int:
    """Bytes that are free where a folder is, or will be."""
    path = Path(folder).expanduser().absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _files(cfg: Config, found: Measured, frozen: bool) -> dict[str, int]:
    """Bytes of what will lie in the work dir at most: name of a kind of file to bytes."""
    if frozen:
        return {"classifier": found.checkpoint, "features": found.features}
    spec = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    units = found.epochs if spec.get("by_epoch", True) else found.iterations
    interval, most = spec.get("interval", -1), spec.get("max_keep_ckpts", -1)
    saves = units // interval if interval > 0 else 0
    if spec.get("save_last", True) and (interval <= 0 or units % interval):
        saves += 1
    kept = min(saves, most) if most > 0 else saves
    best = spec.get("save_best")
    bests = 0 if not best or not found.validations else 1 if isinstance(best, str) else len(best)
    # the next one is written before the oldest is deleted
    copies = kept + (saves > kept) + bests + (1 if bests and found.validations > 1 else 0)
    files = {"checkpoints": copies * found.checkpoint if spec else 0}
    if str(spec.get("type")).endswith("AtomicCheckpointHook"):
        files["interrupted.pth"] = found.checkpoint
    if found.backbone:
        files["backbone.pth"] = found.backbone
    return files


def _report(cfg: Config, runner: Runner, found: Measured, notes: list[str]) -> dict:
    """All figures as plain values; times in seconds, sizes in bytes."""
    loader, frozen = runner.train_dataloader, isinstance(runner.train_loop, FrozenEvalLoop)
    validation = found.val.total(len(runner.val_dataloader)) if found.val.compute else 0.0
    train = found.train.total(found.iterations, found.epochs) + found.epochs * found.epoch_end
    an_epoch = found.train.total(len(loader)) + found.epoch_end
    files = _files(cfg, found, frozen)
    spec = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    free = _disk_free(cfg.work_dir if "://" in str(spec.get("out_dir")) else spec.get("out_dir") or cfg.work_dir)
    needed = sum(files.values())
    problems = []
    if found.memory is not None and found.memory[0] > found.memory[1]:
        problems.append(
            f"memory: {_size(found.memory[0])} are needed and {_size(found.memory[1])} are there: a smaller "
            "train_dataloader.batch_size, fewer workers, or --amp on a GPU"
        )
    if needed > free:
        problems.append(
            f"disk: {_size(needed)} are needed and {_size(free)} are free at the work dir: "
            "another --work-dir, or fewer default_hooks.checkpoint.max_keep_ckpts"
        )
    waiting = found.train.waiting
    if waiting > WAITING:
        notes.append(
            f"the loader is what you wait for ({waiting:.0%} of the time): more workers (train_dataloader.num_workers, "
            f"now {loader.num_workers}; {_cores()} cores here), or prepare the images once with prepare_cxr"
        )
    if frozen:
        notes.append(
            "the head is fitted after that, which is not measured; features in the cache are not computed again"
        )
    model = bare_model(runner)
    return {
        "fits": not problems,
        "problems": problems,
        "notes": notes,
        "data": {
            "images": len(loader.dataset),
            "batch_size": loader.batch_sampler.batch_size,
            "processes": get_world_size(),
            "iterations_per_epoch": len(loader),
            "epochs": found.epochs,
            "iterations": found.iterations,
            "parameters": sum(p.numel() for p in model.parameters()),
        },
        "time": {
            "data": _spread(found.train.data or found.train.first),
            "compute": _spread(found.train.compute),
            "waiting": waiting,
            "measured_iterations": len(found.train.compute),
            "start": found.start,
            "epoch": an_epoch,
            "validation": validation,
            "validations": found.validations,
            "training": found.start + train + found.validations * validation,
        },
        "memory": None
        if found.memory is None
        else {
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
            "peak": found.memory[0],
            "available": found.memory[1],
            "batch_size_that_fits": found.batch_that_fits,
        },
        "disk": {"checkpoint": found.checkpoint, "files": files, "needed": needed, "free": free},
    }


def text(report: dict) -> str:
    """A report as people read it."""
    data, spent, memory, disk = report["data"], report["time"], report["memory"], report["disk"]
    processes = f" x {data['processes']} processes" if data["processes"] > 1 else ""
    rows = [
        ["images", f"{data['images']}, in batches of {data['batch_size']}{processes}"],
        [
            "length",
            f"{data['epochs']} epochs of {data['iterations_per_epoch']} iterations, {data['iterations']} in all",
        ],
        ["parameters", f"{data['parameters'] / 1e6:.2f} million"],
        ["waiting for data", _line(spent["data"])],
        ["computing", _line(spent["compute"])],
        ["an epoch", _duration(spent["epoch"])],
    ]
    if spent["validations"]:
        rows.append(["a validation", f"{_duration(spent['validation'])}, {spent['validations']} of them"])
    rows.append(["all of it", f"{_duration(spent['training'])}, of which {_duration(spent['start'])} to start"])
    if memory is not None:
        rows.append(["memory at peak", f"{_size(memory['peak'])} of {_size(memory['available'])} ({memory['device']})"])
        if memory["batch_size_that_fits"] is not None:
            rows.append(["largest batch", f"about {memory['batch_size_that_fits']} images on this device"])
    rows.append(["a checkpoint", _size(disk["checkpoint"])])
    rows.append(["files at most", f"{_size(disk['needed'])} of {_size(disk['free'])} free"])
    lines = markdown(("estimate", f"from {spent['measured_iterations']} iterations"), rows)
    lines += [f"note: {note}" for note in report["notes"]]
    lines += [f"DOES NOT FIT: {problem}" for problem in report["problems"]] or ["it fits"]
    return "\n".join(lines)


def _validations(units: int, begin: float, interval: int) -> int:
    """Validations in so many epochs, or iterations: each `interval` from `begin` on, and the last one."""
    return sum(unit >= begin and (unit % interval == 0 or unit == units) for unit in range(1, units + 1))


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or "can't allocate memory" in str(error)


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _mean(values: list[float]) -> float:
    return statistics.fmean(values) if values else 0.0


def _spread(values: list[float]) -> dict[str, float]:
    """Median, mean, least and most."""
    if not values:
        return dict.fromkeys(("median", "mean", "min", "max"), 0.0)
    return {"median": statistics.median(values), "mean": _mean(values), "min": min(values), "max": max(values)}


def _line(spread: dict[str, float]) -> str:
    return "{median:.3f} s an iteration (median; mean {mean:.3f}, {min:.3f} to {max:.3f})".format(**spread)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    for unit, length, most in (("min", 60, 6000), ("h", 3600, 172800)):
        if seconds < most:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds / 86400:.1f} days"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} TB"
