"""Measures on the first iterations whether training fits and how long it takes: `otcxr train CONFIG --estimate`."""

import json
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from datetime import timedelta
from statistics import fmean as mean

import torch
from mmengine.config import Config
from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from ..utils.files import write_whole
from ..utils.machine import available_memory, cannot_write, nearest_folder, private_memory, resident_memory, size_text
from .runner import build_runner

ITERATIONS = 30  # to measure at most
SECONDS = 40.0  # after this time, FEWEST iterations are enough
FEWEST = 6


class _Enough(Exception):
    """Ends the loop being measured."""


class _Pace(Hook):
    """Ends a run after its first iterations; MMEngine's IterTimerHook measures them."""

    priority = "LOWEST"
    memory = 0  # peak of this process and its workers in bytes

    def run(self, loop: Callable[[], object], loader: DataLoader) -> None:
        """Runs the beginning of a loop over a loader."""
        # batches that the workers prepared before the loop started say nothing about their speed
        self.ready = max(3, loader.num_workers * (loader.prefetch_factor or 0))
        self.count, self.began = 0, time.perf_counter()
        with suppress(_Enough):
            loop()
        self.memory = max(self.memory, _peak_of_host())

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        self.count += 1
        late = self.count >= FEWEST and time.perf_counter() - self.began > SECONDS
        enough = [late or self.count >= self.ready + ITERATIONS]
        broadcast_object_list(enough)  # all processes stop at the same iteration
        if enough[0]:
            self.memory = _peak_of_host()  # while the workers live
            raise _Enough

    after_val_iter = after_train_iter

    def seconds(self, runner: Runner, mode: str) -> tuple[list[float], list[float]]:
        """Seconds of each iteration of `mode`, train or val: in total, and waiting for data."""
        whole, data = (runner.message_hub.get_scalar(f"{mode}/{name}").data[0] for name in ("time", "data_time"))
        first = max(0, min(self.ready, len(whole) - FEWEST))
        return whole[first:].tolist(), data[first : len(whole)].tolist()


def _peak_of_host() -> int:
    workers = sum(private_memory(f"/proc/{process.pid}") for process in multiprocessing.active_children())
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + workers


def estimate(cfg: Config, out: str | None = None) -> bool:
    """Runs the first iterations of a training run, prints what all of it would need, and says whether it fits.

    The run is built as for training, without trackers, in a temporary folder on the disk of the work dir.

    Args:
        cfg: The config as for training, with its work dir.
        out: JSON file for the figures.

    Returns:
        Whether memory and disk suffice; False if memory runs out.

    Raises:
        SystemExit: If the work dir or the folder of `out` is not writable, or training has no iterations.
    """
    for place, option in ((cfg.work_dir, "--work-dir"), (os.path.dirname(out or "") or ".", "--estimate-out")):
        if problem := cannot_write(place):
            raise SystemExit(f"--estimate: {place} cannot be written to ({problem}): choose another {option}")
    with tempfile.TemporaryDirectory(prefix=".otcxr_estimate_", dir=nearest_folder(cfg.work_dir)) as folder:
        try:
            report = _measure(_detached(cfg, folder))
        except (MemoryError, RuntimeError) as error:
            # torch raises a plain RuntimeError if the driver or the host is out of memory
            said = ("out of memory", "can't allocate memory")
            if not isinstance(error, MemoryError) and not any(part in str(error) for part in said):
                raise
            batch = cfg.train_dataloader.batch_size
            print(f"DOES NOT FIT: out of memory with train_dataloader.batch_size={batch}: use a smaller one, or --amp")
            return False
    fits = [not report["problems"]]
    broadcast_object_list(fits)
    if is_main_process():
        print(_text(report))
        if out is not None:
            write_whole(out, (json.dumps(report, indent=2) + "\n").encode())
    return fits[0]


def _detached(cfg: Config, folder: str) -> Config:
    """The same run in another folder, without trackers and progress bars."""
    cfg = deepcopy(cfg)
    cfg.work_dir, cfg.log_level, cfg.resume = folder, "WARNING", False
    cfg.visualizer = dict(type="mmengine.Visualizer")
    for hook in (cfg.get("default_hooks") or {}).values():
        if hook is not None:
            hook.pop("out_dir", None)
    cfg.custom_hooks = [h for h in cfg.get("custom_hooks") or [] if "ProgressBarHook" not in str(h)]
    return cfg


def _measure(cfg: Config) -> dict:
    """Measures all figures, as plain values; times in seconds, sizes in bytes."""
    room = (available_memory() or 2**60) + sum(all_gather_object(resident_memory()))
    runner, pace = build_runner(cfg, verbose=False), _Pace()
    loop, loader = runner.train_loop, runner.train_dataloader
    if not hasattr(loop, "run_iter"):
        raise SystemExit(f"--estimate measures training iterations, but {type(loop).__name__} has none")
    saving = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    copies = _checkpoints(saving, runner)
    units = runner.max_epochs if isinstance(loop, EpochBasedTrainLoop) else runner.max_iters
    due = [n for n in range(1, units + 1) if n % loop.val_interval == 0 or n == units]
    validations = sum(n >= loop.val_begin for n in due) if runner.val_loop is not None else 0
    loop.val_begin = units + 1  # validation is measured separately
    runner.register_hook(pace)
    try:
        pace.run(runner.train, loader)
    finally:
        if saving is not None:
            saving.after_train(runner)  # restores the signal handlers
    whole, data = pace.seconds(runner, "train")
    seconds = runner.max_iters * mean(whole)
    if validations:
        pace.run(runner.val_loop.run, runner.val_dataloader)
        seconds += validations * len(runner.val_dataloader) * mean(pace.seconds(runner, "val")[0])
    if torch.cuda.is_available():  # the GPU with the least memory left
        device, peak = torch.cuda.get_device_name(), torch.cuda.max_memory_reserved()
        own = (peak, torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved())
        peak, room = max(all_gather_object(own), key=lambda pair: pair[0] - pair[1])
    else:
        device, peak = "CPU", sum(all_gather_object(pace.memory))
    free = shutil.disk_usage(runner.work_dir).free
    runner.save_checkpoint(runner.work_dir, "x.pth")
    checkpoint = os.path.getsize(os.path.join(runner.work_dir, "x.pth")) if is_main_process() else 0
    problems = []
    if peak > room:
        problems.append("memory: use a smaller train_dataloader.batch_size, fewer workers, or --amp on a GPU")
    if copies * checkpoint > free:
        problems.append("disk: choose another --work-dir or a smaller default_hooks.checkpoint.max_keep_ckpts")
    return {
        "iterations": runner.max_iters,
        "iterations_per_epoch": len(loader),
        "iterations_measured": len(whole),
        "iterations_per_second": 1 / mean(whole),
        "waiting": sum(data) / sum(whole),
        "validations": validations,
        "seconds": seconds,
        "device": device,
        "memory": {"peak": peak, "available": room},
        "checkpoint": checkpoint,
        "checkpoints": copies,
        "disk": {"needed": copies * checkpoint, "free": free},
        "problems": problems,
    }


def _checkpoints(hook: CheckpointHook | None, runner: Runner) -> int:
    """Most checkpoints on disk at one time: those kept, the best ones, and one being written."""
    if hook is None:
        return 0
    units = runner.max_epochs if hook.by_epoch else runner.max_iters
    saves = 1 + (units // hook.interval if hook.interval > 0 else 0)
    return min(saves, hook.max_keep_ckpts if hook.max_keep_ckpts > 0 else saves) + len(hook.save_best or ()) + 1


def _text(report: dict) -> str:
    memory, disk = report["memory"], report["disk"]
    return f"""\
length       {report["iterations"]} iterations, {report["iterations_per_epoch"]} per epoch
speed        {report["iterations_per_second"]:.3g} iterations/s, {report["waiting"]:.0%} of the time waiting for data \
(measured on {report["iterations_measured"]} iterations)
whole run    {timedelta(seconds=round(report["seconds"]))}, with {report["validations"]} validations
peak memory  {size_text(memory["peak"])} of {size_text(memory["available"])} ({report["device"]})
checkpoint   {size_text(report["checkpoint"])}, at most {report["checkpoints"]} on disk at the same time
disk         {size_text(disk["needed"])} needed, {size_text(disk["free"])} free
""" + "\n".join([f"DOES NOT FIT: {problem}" for problem in report["problems"]] or ["it fits"])
