"""A progress bar."""

import atexit
import sys

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ...registry import HOOKS


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Shows iterations done, time elapsed and left, and the loss; only on a terminal.

    The bar goes to the process's own standard output, wherever the log goes.
    """

    def __init__(self) -> None:
        self.bar: Progress | None = None

    def before_train(self, runner: Runner) -> None:
        """Starts the bar."""
        console = Console(file=sys.__stdout__)
        if not console.is_terminal or not is_main_process():
            return
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self.bar = Progress(*columns, TextColumn("{task.description}"), console=console, transient=True)
        self.bar.start()
        atexit.register(self.bar.stop)  # restores the terminal after an error
        self.task = self.bar.add_task("", total=runner.max_iters, completed=runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: dict | None = None
    ) -> None:
        """Updates the bar."""
        if self.bar is None:
            return
        if self.every_n_train_iters(runner, 5):  # each waits for the device
            self.bar.update(self.task, description=f"loss {float(outputs['loss']):.2f}")
        self.bar.update(self.task, completed=runner.iter + 1)

    def after_train(self, runner: Runner) -> None:
        """Removes the bar."""
        if self.bar is not None:
            self.bar.stop()
            atexit.unregister(self.bar.stop)
