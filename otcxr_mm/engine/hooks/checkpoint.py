"""Checkpoints that are never half-written, and one on SIGTERM."""

import atexit
import contextlib
import glob
import multiprocessing
import os
import signal
from collections.abc import Callable

import numpy as np
import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from mmengine.utils import apply_to

from ...registry import HOOKS
from ...utils.files import write_whole
from ...utils.locks import hold, release
from ..model import is_sharded


class AtomicLocalBackend(LocalBackend):
    """MMEngine's local backend, but files are written under another name, synced, and renamed."""

    def put(self, obj: bytes | memoryview, filepath: str | os.PathLike) -> None:
        """Writes `obj` to `filepath`; a reader sees either the old file or the complete new one."""
        write_whole(filepath, obj)


register_backend("otcxr_atomic", AtomicLocalBackend)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _IgnoreSignals:
    """Worker initialisation that leaves signals sent to the whole process group to the main process."""

    def __init__(self, then: Callable[[int], None] | None) -> None:
        self.then = then

    def __call__(self, worker: int) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if self.then is not None:
            self.then(worker)


def _kill_workers() -> None:
    """Kills persistent workers at exit, where Python would send them SIGTERM, which they ignore, and wait."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would report an error
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


def _end_at_once(number: int, frame: object) -> None:
    """Ends the process in the middle of whatever it does: an exception from within torch.save would not end well."""
    os._exit(128 + number)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's CheckpointHook, with atomic writes and a checkpoint when the job is asked to end.

    On SIGTERM (slurm's preemption, a stopped container) and Ctrl-C the run finishes the current optimiser step, saves
    `interrupted.pth`, and ends with status 143 or 130; `--resume` continues from there, even in the middle of an epoch.
    A second signal ends the run at once. Weights that are not finite are never saved.

    While a run trains, its work dir is locked against others.

    Args:
        interval: Epochs (iterations with ``by_epoch=False``) between checkpoints.
        max_keep_ckpts: As in MMEngine, but not 1, because the old file is removed before the new one is written.
        **kwargs: See MMEngine's CheckpointHook.

    Raises:
        ValueError: For ``max_keep_ckpts=1``, or before training if a checkpoint would fall between two optimiser steps.
        RuntimeError: Before training, if another process trains in the work dir.
        FloatingPointError: Instead of saving weights that are NaN or infinite.
    """

    def __init__(self, interval: int = 1, max_keep_ckpts: int = 2, **kwargs: object) -> None:
        if max_keep_ckpts == 1:
            raise ValueError(
                "max_keep_ckpts=1 would leave none if the run is killed while it saves: use 2, or -1 to keep all"
            )
        kwargs.setdefault("backend_args", {"backend": "otcxr_atomic"})
        super().__init__(interval=interval, max_keep_ckpts=max_keep_ckpts, **kwargs)
        self.asked_to_end: signal.Signals | None = None
        self.previous: dict = {}  # signal handlers from before training
        self.has_locked = False

    def before_train(self, runner: Runner) -> None:
        """Locks the work dir, removes files that a killed run left half-written, and installs the signal handlers."""
        super().before_train(runner)
        counts = getattr(runner.optim_wrapper, "_accumulative_counts", 1)
        if not self.by_epoch and self.interval % counts:
            raise ValueError(
                f"a checkpoint every {self.interval} iterations would lose accumulated gradients: make interval a "
                f"multiple of accumulative_counts={counts}"
            )
        if is_main_process():
            self.has_locked = hold(runner.work_dir)
            for leftover in glob.glob(os.path.join(glob.escape(self.out_dir), "*.pth.tmp.*")):
                os.remove(leftover)
        if not hasattr(runner.train_loop, "run_iter"):  # no iterations between which it could be interrupted
            return
        loader = runner.train_dataloader
        loader.worker_init_fn = _IgnoreSignals(loader.worker_init_fn)
        atexit.register(_kill_workers)
        with contextlib.suppress(ValueError):  # not the main thread
            self.previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Converts MMEngine's log buffers, whose pickles hold functions, to tensors, and NumPy scalars to numbers.

        The file then holds only tensors and plain values, and `weights_only=True` loads it. (MMEngine 0.10.7 cannot
        resume its own files on torch >= 2.6; the OneDL line falls back to unsafe loading.)

        Raises:
            FloatingPointError: If a weight is not finite.
        """
        bad = [name for name, x in checkpoint["state_dict"].items() if not x.isfinite().all()]
        if bad:
            raise FloatingPointError(
                f"epoch {runner.epoch + 1}, iteration {runner.iter + 1}: {len(bad)} weights are not finite, such as "
                f"{bad[0]}; no checkpoint is written. Resume from the last one with a lower learning rate or a longer "
                "warm-up"
            )
        scalars = checkpoint["message_hub"]["log_scalars"]
        for name, buffer in scalars.items():
            scalars[name] = [torch.as_tensor(column, dtype=torch.float64) for column in buffer.data]
        for part in ("message_hub", "meta"):
            checkpoint[part] = apply_to(checkpoint[part], lambda x: isinstance(x, np.generic), lambda x: x.item())

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Converts the log buffers back."""
        scalars = checkpoint.get("message_hub", {}).get("log_scalars", {})
        for name, columns in scalars.items():
            if isinstance(columns, list):
                scalars[name] = HistoryBuffer(*[column.tolist() for column in columns])

    def _on_signal(self, number: int, frame: object) -> None:
        self.asked_to_end = signal.Signals(number)
        for each in self.previous:
            signal.signal(each, _end_at_once)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: dict | None = None
    ) -> None:
        """Saves at intervals if configured by iteration, and exits with 128 + the signal's number when asked to end."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if not self._ends_here(runner) or not runner.optim_wrapper.should_update():
            return
        runner.save_checkpoint(
            self.out_dir,
            "interrupted.pth",
            meta={"epoch": runner.epoch, "iter": runner.iter + 1},
            by_epoch=False,
            backend_args=self.backend_args,
        )
        path = os.path.join(self.out_dir, "interrupted.pth")
        if is_main_process():
            self.file_backend.put(path.encode(), os.path.join(runner.work_dir, "last_checkpoint"))
        runner.logger.info(
            f"{self.asked_to_end.name}: saved {path} at iteration {runner.iter + 1}; continue with --resume"
        )
        self._give_back()
        raise SystemExit(128 + self.asked_to_end)

    def _ends_here(self, runner: Runner) -> bool:
        """Whether this process saves now and ends. The main one does, and its exit ends the others, which wait for it.

        Under FSDP all save together, as soon as one of them was asked.
        """
        if not is_sharded(runner):
            return bool(self.asked_to_end) and is_main_process()
        asked = torch.tensor(int(self.asked_to_end or 0))
        all_reduce(asked, "max")
        self.asked_to_end = signal.Signals(int(asked)) if asked else None
        return bool(asked)

    def after_train(self, runner: Runner) -> None:
        """Restores the signal handlers."""
        super().after_train(runner)
        self._give_back()

    def after_run(self, runner: Runner) -> None:
        """Unlocks the work dir, unless the command holds it until it ends."""
        if self.has_locked:
            release(runner.work_dir)

    def _give_back(self) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
