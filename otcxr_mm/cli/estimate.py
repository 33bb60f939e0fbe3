"""Measures how fast training is and what it needs: `otcxr train CONFIG --estimate`."""

import multiprocessing
import os
import resource
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from datetime import timedelta
from statistics import fmean

import torch
from mmengine.config import Config
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from ..utils.machine import available_memory, nearest_folder, private_memory, size_text
from .runner import build_runner
from .work_dir import check_writable

ITERATIONS = 30  # to measure


class _Enough(Exception):
    """Ends the loop being measured."""


class _Pace(Hook):
    """Ends a run after its first iterations; MMEngine's IterTimerHook measures them."""

    priority = "LOWEST"
    memory = 0  # peak of this process and its workers in bytes

    def run(
        self, loop: Callable[[], object], loader: DataLoader, runner: Runner, mode: str
    ) -> tuple[float, float, int]:
        """Runs the beginning of a loop, train or val.

        Returns:
            Seconds per iteration, seconds of these waiting for data, and the number of iterations measured.
        """
        # batches that the workers prepared before the loop started say nothing about their speed
        ready = max(3, loader.num_workers * (loader.prefetch_factor or 0))
        self.left = ready + ITERATIONS
        with suppress(_Enough):
            loop()
        self._note_memory()
        buffers = [runner.message_hub.get_scalar(f"{mode}/{name}").data[0] for name in ("time", "data_time")]
        times, waits = (buffer[ready:] if len(buffer) > ready else buffer for buffer in buffers)
        return fmean(times), fmean(waits), len(times)

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        self.left -= 1
        if not self.left:
            self._note_memory()  # while the workers live
            raise _Enough

    after_val_iter = after_train_iter

    def _note_memory(self) -> None:
        workers = sum(private_memory(f"/proc/{process.pid}") for process in multiprocessing.active_children())
        self.memory = max(self.memory, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + workers)


def estimate(cfg: Config) -> None:
    """Runs the first iterations of a training run, and prints what was measured and how long all of it would take.

    The run is built as for training, without trackers, in a temporary folder on the disk of the work dir.

    Args:
        cfg: The config as for training, with its work dir.

    Raises:
        SystemExit: If the work dir is not writable, or training has no iterations.
    """
    check_writable(cfg.work_dir)
    with tempfile.TemporaryDirectory(prefix=".otcxr_estimate_", dir=nearest_folder(cfg.work_dir)) as folder:
        _measure(_detached(cfg, folder))


def _detached(cfg: Config, folder: str) -> Config:
    """The same run in another folder, without trackers, progress bars, checkpoints and validations on the way."""
    cfg = deepcopy(cfg)
    cfg.work_dir, cfg.log_level, cfg.resume = folder, "WARNING", False
    cfg.visualizer = dict(type="mmengine.Visualizer")
    cfg.default_hooks = {**(cfg.get("default_hooks") or {}), "checkpoint": None}
    cfg.custom_hooks = [h for h in cfg.get("custom_hooks") or [] if "ProgressBarHook" not in str(h)]
    return cfg


def _measure(cfg: Config) -> None:
    runner, pace = build_runner(cfg, verbose=False), _Pace()
    loop, loader = runner.train_loop, runner.train_dataloader
    if not hasattr(loop, "run_iter"):
        raise SystemExit(f"--estimate measures training iterations, but {type(loop).__name__} has none")
    units = runner.max_epochs if isinstance(loop, EpochBasedTrainLoop) else runner.max_iters
    due = [n for n in range(1, units + 1) if n % loop.val_interval == 0 or n == units]
    validations = sum(n >= loop.val_begin for n in due) if runner.val_loop is not None else 0
    loop.val_begin = units + 1  # validation is measured separately
    runner.register_hook(pace)
    time, waiting, count = pace.run(runner.train, loader, runner, "train")
    seconds = runner.max_iters * time
    if validations:
        val = pace.run(runner.val_loop.run, runner.val_dataloader, runner, "val")[0]
        seconds += validations * len(runner.val_dataloader) * val
    if torch.cuda.is_available():  # the GPU with the least memory left
        device, own = torch.cuda.get_device_name(), (torch.cuda.mem_get_info()[0], torch.cuda.max_memory_reserved())
        left, peak = min(all_gather_object(own))
    else:
        device, left, peak = "CPU", available_memory() or 0, sum(all_gather_object(pace.memory))
    free = shutil.disk_usage(runner.work_dir).free
    runner.save_checkpoint(runner.work_dir, "x.pth")
    if is_main_process():
        checkpoint = os.path.getsize(os.path.join(runner.work_dir, "x.pth"))
        print(f"length       {runner.max_iters} iterations, {len(loader)} per epoch")
        print(f"speed        {1 / time:.3g} iterations/s, {waiting / time:.0%} of the time waiting for data")
        print(f"             (measured on {count} iterations)")
        print(f"whole run    {timedelta(seconds=round(seconds))}, with {validations} validations")
        print(f"peak memory  {size_text(peak)} ({device}), {size_text(left)} left")
        print(f"checkpoint   {size_text(checkpoint)}, {size_text(free)} free on this disk")
