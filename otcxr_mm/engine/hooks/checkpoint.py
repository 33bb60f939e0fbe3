"""Checkpoints that are whole or not there, and one on SIGTERM."""

import atexit
import contextlib
import glob
import multiprocessing
import os
import signal
from collections.abc import Callable

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from mmengine.utils import apply_to

from ...fileio import write_whole
from ...registry import HOOKS


class AtomicLocalBackend(LocalBackend):
    """MMEngine's local files, written under another name, synced, and renamed."""

    def put(self, obj: bytes | memoryview, filepath: str | os.PathLike) -> None:
        """Writes `obj` to `filepath`; a reader sees the old file or the whole new one."""
        write_whole(filepath, obj)


register_backend("otcxr_atomic", AtomicLocalBackend)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _IgnoreSignals:
    """Worker initialisation: what is sent to the whole process group is the main process's alone to answer."""

    def __init__(self, then: Callable[[int], None] | None) -> None:
        self.then = then

    def __call__(self, worker: int) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if self.then is not None:
            self.then(worker)


def _kill_workers() -> None:
    """At exit Python sends persistent workers SIGTERM, which they ignore, and waits for them."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would call it an error
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's CheckpointHook with whole files, and a checkpoint when the job is asked to end.

    On SIGTERM (slurm's preemption, a stopped container) and Ctrl-C the run saves `interrupted.pth` after the optimiser
    step in hand and ends with status 143 or 130; `--resume` goes on from there, in the middle of the epoch too. A
    second signal ends it at once. Weights that are not finite are never saved.

    Args:
        interval: Epochs (iterations with ``by_epoch=False``) between checkpoints.
        max_keep_ckpts: As MMEngine's, but not 1: the old one is removed before the new one is written.
        **kwargs: See MMEngine's CheckpointHook.

    Raises:
        ValueError: For ``max_keep_ckpts=1``, or before training if a checkpoint would fall between two optimiser steps.
        FloatingPointError: Instead of saving weights that are NaN or infinite.
    """

    def __init__(self, interval: int = 1, max_keep_ckpts: int = 2, **kwargs: object) -> None:
        if max_keep_ckpts == 1:
            raise ValueError(
                "AtomicCheckpointHook: max_keep_ckpts=1 would leave none if the run is killed while it saves: "
                "take 2, or -1 for all"
            )
        kwargs.setdefault("backend_args", {"backend": "otcxr_atomic"})
        super().__init__(interval=interval, max_keep_ckpts=max_keep_ckpts, **kwargs)
        self.asked_to_end: signal.Signals | None = None
        self.previous: dict = {}  # handlers of before the training

    def before_train(self, runner: Runner) -> None:
        """Listens to the signals, and clears away what a killed run left half-written."""
        super().before_train(runner)
        self._check_accumulation(runner)
        if is_main_process():
            for leftover in glob.glob(os.path.join(glob.escape(self.out_dir), "*.pth.tmp.*")):
                os.remove(leftover)
        self.previous = {}
        if not hasattr(runner.train_loop, "run_iter"):  # nothing that could be interrupted between two iterations
            return
        loader = runner.train_dataloader
        loader.worker_init_fn = _IgnoreSignals(loader.worker_init_fn)
        atexit.register(_kill_workers)
        with contextlib.suppress(ValueError):  # not the main thread
            self.previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}

    def _check_accumulation(self, runner: Runner) -> None:
        counts = getattr(runner.optim_wrapper, "_accumulative_counts", 1)
        if not self.by_epoch and self.interval % counts:
            raise ValueError(
                f"checkpoints every {self.interval} iterations would lose gradients that are being accumulated: make "
                f"interval a multiple of accumulative_counts={counts}"
            )
        if self.by_epoch and len(runner.train_dataloader) % counts:
            runner.logger.warning(
                f"accumulative_counts={counts} does not divide the {len(runner.train_dataloader)} iterations of an "
                "epoch: a run that is resumed loses the gradients being accumulated at an epoch's end"
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turns MMEngine's log buffers, whose pickles hold functions, into tensors, and NumPy scalars into numbers.

        So the file holds tensors and plain values alone, and `weights_only=True` loads it. (MMEngine 0.10.7 cannot
        resume its own files on torch >= 2.6; the OneDL line falls back to unsafe loading.)

        Raises:
            FloatingPointError: If a weight is not finite.
        """
        bad = [name for name, x in checkpoint["state_dict"].items() if x.is_floating_point() and not x.isfinite().all()]
        if bad:
            raise FloatingPointError(
                f"epoch {runner.epoch + 1}, iteration {runner.iter + 1}: {len(bad)} weights are not finite, {bad[0]} "
                "first; no checkpoint is written. Resume from the last one with a lower learning rate or a longer "
                "warm-up"
            )
        checkpoint["meta"]["epoch_of"] = self._epoch_of(runner)
        scalars = checkpoint["message_hub"]["log_scalars"]
        for name, buffer in scalars.items():
            scalars[name] = [torch.as_tensor(column, dtype=torch.float64) for column in buffer.data]
        for part in ("message_hub", "meta"):
            checkpoint[part] = apply_to(checkpoint[part], lambda x: isinstance(x, np.generic), lambda x: x.item())

    @staticmethod
    def _epoch_of(runner: Runner) -> dict[str, int]:
        """What an epoch consists of; a run can only go on with the same."""
        loader = runner.train_dataloader
        return {"images": len(loader.dataset), "batch_size": loader.batch_size, "processes": runner.world_size}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turns them back.

        Raises:
            ValueError: When resuming with other data, batch size or number of processes.
        """
        before = checkpoint.get("meta", {}).get("epoch_of")
        if runner._resume and before is not None and before != (now := self._epoch_of(runner)):
            raise ValueError(
                f"the checkpoint is of a run with {before}, this one has {now}: iterations and learning rate would "
                "come out of step. Resume with the same, or start anew from its weights with load_from=CHECKPOINT and "
                "resume=False"
            )
        scalars = checkpoint.get("message_hub", {}).get("log_scalars", {})
        for name, columns in scalars.items():
            if isinstance(columns, list):
                scalars[name] = HistoryBuffer(*[column.tolist() for column in columns])

    def _on_signal(self, number: int, frame: object) -> None:
        self.asked_to_end = signal.Signals(number)
        self._give_back()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: dict | None = None
    ) -> None:
        """Saves by iteration if configured, and when asked to end.

        Raises:
            SystemExit: After it has saved because it was asked to end, with status 128 + the signal's number.
        """
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        # the other processes wait: the main one saves, and its end ends them
        if not self.asked_to_end or not is_main_process() or not runner.optim_wrapper.should_update():
            return
        runner.save_checkpoint(
            self.out_dir,
            "interrupted.pth",
            meta={"epoch": runner.epoch, "iter": runner.iter + 1},
            by_epoch=False,
            backend_args=self.backend_args,
        )
        path = os.path.join(self.out_dir, "interrupted.pth")
        self.file_backend.put(path.encode(), os.path.join(runner.work_dir, "last_checkpoint"))
        runner.logger.info(
            f"{self.asked_to_end.name}: saved {path} at iteration {runner.iter + 1}; go on with --resume"
        )
        raise SystemExit(128 + self.asked_to_end)

    def after_train(self, runner: Runner) -> None:
        """Gives the signals back."""
        super().after_train(runner)
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
