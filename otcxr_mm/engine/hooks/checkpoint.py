"""Checkpoints that are whole or not there, and one on SIGTERM."""

import os
import signal

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
        """Writes `obj`; a reader sees the old file or the whole new one."""
        write_whole(filepath, obj)


register_backend("otcxr_atomic", AtomicLocalBackend)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's CheckpointHook with whole files, and a checkpoint when the job is asked to end.

    On SIGTERM (slurm's preemption, a stopped container) the run saves after the optimiser step in hand and ends with
    status 143; `--resume` goes on from there, in the middle of the epoch too.

    Args:
        interval: Epochs (iterations with ``by_epoch=False``) between checkpoints.
        max_keep_ckpts: As MMEngine's, but not 1: the old one is removed before the new one is written.
        **kwargs: See MMEngine's CheckpointHook.

    Raises:
        ValueError: For ``max_keep_ckpts=1``.
    """

    def __init__(self, interval: int = 1, max_keep_ckpts: int = 2, **kwargs: object) -> None:
        if max_keep_ckpts == 1:
            raise ValueError(
                "AtomicCheckpointHook: max_keep_ckpts=1 would leave none if the run is killed while it saves: "
                "take 2, or -1 for all"
            )
        kwargs.setdefault("backend_args", {"backend": "otcxr_atomic"})
        super().__init__(interval=interval, max_keep_ckpts=max_keep_ckpts, **kwargs)
        self.asked_to_end = False

    def before_train(self, runner: Runner) -> None:
        """Listens to SIGTERM."""
        super().before_train(runner)
        try:
            self.previous_handler = signal.signal(signal.SIGTERM, self._on_sigterm)
        except ValueError:  # not the main thread
            self.previous_handler = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turns MMEngine's log buffers, whose pickles hold functions, into tensors, and NumPy scalars into numbers.

        So the file holds tensors and plain values alone, and `weights_only=True` loads it. (MMEngine 0.10.7 cannot
        resume its own files on torch >= 2.6; the OneDL line falls back to unsafe loading.)
        """
        scalars = checkpoint["message_hub"]["log_scalars"]
        for name, buffer in scalars.items():
            scalars[name] = [torch.as_tensor(column, dtype=torch.float64) for column in buffer.data]
        for part in ("message_hub", "meta"):
            checkpoint[part] = apply_to(checkpoint[part], lambda x: isinstance(x, np.generic), lambda x: x.item())

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turns them back."""
        scalars = checkpoint.get("message_hub", {}).get("log_scalars", {})
        for name, columns in scalars.items():
            if isinstance(columns, list):
                scalars[name] = HistoryBuffer(*[column.tolist() for column in columns])

    def _on_sigterm(self, signum: int, frame: object) -> None:
        self.asked_to_end = True

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: dict | None = None
    ) -> None:
        """Saves by iteration if configured, and on SIGTERM."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        # the other processes wait: the main one saves, and its end ends them
        if not self.asked_to_end or not is_main_process() or not runner.optim_wrapper.should_update():
            return
        name = f"iter_{runner.iter + 1}.pth"
        runner.save_checkpoint(
            self.out_dir,
            name,
            meta={"epoch": runner.epoch, "iter": runner.iter + 1},
            by_epoch=False,
            backend_args=self.backend_args,
        )
        path = os.path.join(self.out_dir, name)
        self.file_backend.put(path.encode(), os.path.join(runner.work_dir, "last_checkpoint"))
        runner.logger.info(f"SIGTERM: saved {path}; go on with --resume")
        raise SystemExit(128 + signal.SIGTERM)

    def after_train(self, runner: Runner) -> None:
        """Gives SIGTERM back."""
        super().after_train(runner)
        if self.previous_handler is not None:
            signal.signal(signal.SIGTERM, self.previous_handler)
