"""Times, memory and sizes of a training, from a few of its iterations."""

import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from mmengine.dist import all_gather_object, broadcast_object_list, get_world_size, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.runner.amp import autocast
from torch.utils.data import DataLoader

from ..doctor.files import validations
from ..engine.hooks import AtomicCheckpointHook
from ..engine.model import bare_model
from ..engine.runner.frozen import FrozenEvalLoop
from ..models.heads import KNNHead
from . import machine

ITERATIONS = 30  # measured at most
FEWEST = 5
SECONDS = 20.0
VAL_BATCHES = 8
HISTORY = 10**6  # numbers of a logged value that MMEngine keeps


def now() -> float:
    """Seconds of a clock that only goes forward."""
    return time.perf_counter()


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
        first = statistics.median(self.first) if self.first else mean(self.data)
        return batches * mean(self.compute) + max(0, batches - epochs) * mean(self.data) + epochs * first

    @property
    def waiting(self) -> float:
        """Share of the time that is spent waiting for data."""
        data = mean(self.data or self.first)
        return data / (data + mean(self.compute)) if self.compute else 0.0


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
    weights: int = 0
    backbone: int = 0
    features: int = 0
    memory: tuple[int, int] | None = None
    batch_that_fits: int | None = None


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
        self.watch.epoch_began = now()

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
            found.validations = validations(
                found.epochs if by_epoch else found.iterations, loop.val_begin, loop.val_interval
            )
        loop.val_begin = math.inf
        loop._max_epochs = loop._max_iters = 10**9
        workers, ahead = runner.train_dataloader.num_workers, runner.train_dataloader.prefetch_factor or 0
        # what the workers have ready before the first iteration says nothing of how fast they are
        self.workers, self.warm_up = max(1, workers), max(3, workers * ahead)

    def batch_came(self) -> None:
        """A batch is there."""
        moment = now()
        times = self.times if self.warm_ended is not None else self.warm
        if self.epoch_began is not None:
            self.times.first.append(moment - self.epoch_began)
            if self.ended is None:
                self.found.start, self.first_came = self.epoch_began - self.began, moment
            self.epoch_began = None
        else:
            times.data.append(moment - self.ended)
        self.came = moment

    def iteration_ended(self, runner: Runner) -> None:
        """An iteration is done, with all hooks."""
        machine.synchronise()
        moment = now()
        times = self.times if self.warm_ended is not None else self.warm
        times.compute.append(moment - self.came)
        n = len(times.compute)
        if self.warm_ended is None:
            enough = n >= self.warm_up or moment - self.first_came > SECONDS
        else:
            passed = moment - self.warm_ended
            enough = n >= ITERATIONS or (n >= FEWEST and passed >= SECONDS) or (n >= 2 and passed >= 3 * SECONDS)
            enough &= n % self.workers == 0 or passed >= 2 * SECONDS
        decision = [enough]
        if get_world_size() > 1:  # together, or the others wait for ever
            broadcast_object_list(decision)
        if decision[0] and self.warm_ended is not None:
            raise _Enough
        if decision[0]:
            self.warm_ended = moment
            if torch.cuda.is_available():
                self.base = torch.cuda.memory_allocated()
                self.reserved = torch.cuda.max_memory_reserved()
                torch.cuda.reset_peak_memory_stats()
        self.ended = now()

    def finish(self) -> None:
        """What the first iterations took longer belongs to the start."""
        self.found.train = self.times
        warm = sum(self.warm.compute) + sum(self.warm.data)
        usual = len(self.warm.compute) * mean(self.times.compute) + len(self.warm.data) * mean(self.times.data)
        self.found.start += max(0.0, warm - usual)

    @torch.no_grad()
    def frozen(self, runner: Runner) -> None:
        """Measures an evaluation of a frozen backbone in place of running it."""
        loop, model, found = runner.train_loop, bare_model(runner), self.found
        loop.check(model)
        runner.call_hook("before_train")
        found.iterations, found.epochs = len(loop.dataloader), 1
        model.eval()
        found.start = now() - self.began
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


def measure(runner: Runner, began: float) -> Measured:
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
    host = machine.host_memory()
    if torch.cuda.is_available():
        _gpu_batch(runner, watch)
    if not frozen:
        began = now()
        runner.call_hook("after_train_epoch")
        found.epoch_end = now() - began
    if found.validations and not frozen:
        found.val = _validate(runner)
        host = max(host, machine.host_memory())
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
    times, ended, began = Times(), now(), now()
    most = max(most, 2 * loader.num_workers)
    for number, batch in enumerate(loader):
        came = now()
        step(batch)
        machine.synchronise()
        (times.data if number else times.first).append(came - ended)
        ended = now()
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
        found.weights = _bytes(model)
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
        watch.found.batch_that_fits = int((0.9 * machine.gpu_available() - watch.base) / an_image)


def _gpu_memory(watch: _Watch) -> tuple[int, int]:
    """Peak and available bytes of the GPU of which least is left, over all processes."""
    own = max(watch.reserved, torch.cuda.max_memory_reserved()), machine.gpu_available()
    return max(all_gather_object(own), key=lambda pair: pair[0] - pair[1])


def _all_of_host(used: int) -> tuple[int, int] | None:
    """Bytes that the processes of this run use, and those that there are for them."""
    total, available = sum(all_gather_object(used)), machine.host_available()
    return None if available is None else (total, available + sum(all_gather_object(machine.resident())))


def mean(values: list[float]) -> float:
    """Arithmetic mean; 0 of nothing."""
    return statistics.fmean(values) if values else 0.0
