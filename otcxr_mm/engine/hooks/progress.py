"""A progress bar."""

import atexit
import sys
import time

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ...registry import HOOKS


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Shows iterations done, time elapsed and left, and the loss.

    On a terminal this is a bar; elsewhere, such as in a file, it is a line every now and then. Either goes to the
    process's own standard output, wherever the log goes.

    Args:
        seconds: Time between lines where there is no terminal.
    """

    def __init__(self, seconds: float = 15.0) -> None:
        self.seconds = seconds
        self.bar: Progress | None = None

    def before_train(self, runner: Runner) -> None:
        """Starts the bar."""
        if not is_main_process():
            return
        console = Console(file=sys.__stdout__)
        columns = [MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()]
        if console.is_terminal:
            columns.insert(0, BarColumn())
        # disabled, it still keeps the time
        options = {"console": console, "transient": True, "disable": not console.is_terminal}
        self.bar = Progress(*columns, TextColumn("{task.description}"), **options)
        self.bar.start()
        atexit.register(self.bar.stop)  # restores the terminal after an error
        self.task = self.bar.add_task("", total=runner.max_iters, completed=runner.iter)
        self._printed = time.monotonic()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: dict | None = None
    ) -> None:
        """Updates the bar."""
        if self.bar is None:
            return
        if self.every_n_train_iters(runner, 5):  # each waits for the device
            self.bar.update(self.task, description=f"loss {float(outputs['loss']):.2f}")
        self.bar.update(self.task, completed=runner.iter + 1)
        if self.bar.disable and time.monotonic() - self._printed >= self.seconds:
            self._printed = time.monotonic()
            self.bar.console.print(self.bar.get_renderable())
            self.bar.console.file.flush()

    def after_train(self, runner: Runner) -> None:
        """Removes the bar."""
        if self.bar is not None:
            self.bar.stop()
            atexit.unregister(self.bar.stop)
