"""MMEngine's runner, for people at a terminal."""

import contextlib
import io
import logging

from mmengine.runner import Runner

from .console import Terminal


class QuietRunner(Runner):
    """Shows a few lines on the terminal; the log file holds all that MMEngine's own runner shows."""

    def build_logger(self, *args: object, **kwargs: object) -> logging.Logger:
        """The logger, with a filter on its terminal."""
        logger = super().build_logger(*args, **kwargs)
        self.terminal = Terminal(logger.handlers[0])
        logger.handlers[0].addFilter(self.terminal)
        return logger

    def load_checkpoint(self, filename: str, *args: object, **kwargs: object) -> object:
        """Loads a checkpoint; what MMEngine prints meanwhile goes to the log file."""
        with contextlib.redirect_stdout(io.StringIO()) as said:
            try:
                return super().load_checkpoint(filename, *args, **kwargs)
            finally:
                self.logger.info(said.getvalue().strip(), extra={"log_only": True})

    def call_hook(self, fn_name: str, **kwargs: object) -> None:
        """Calls the hooks; after the first iteration that worked the terminal shows what it held back."""
        super().call_hook(fn_name, **kwargs)
        if fn_name == "after_run" or (fn_name.startswith("after_") and fn_name.endswith("_iter")):
            self.terminal.release()
