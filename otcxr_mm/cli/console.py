"""Keeps the terminal output of a command to a few lines. The log file has everything; `--verbose` shows it."""

import argparse
import functools
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from difflib import get_close_matches
from typing import NoReturn

from .messages import PACKAGE, message_of

# beginnings of MMEngine's long dumps and of its own deprecation warnings
_DUMPS = (
    "\n----",
    "Config:\n",
    "Hooks will be executed",
    "Leak audit:\n",
    "paramwise_options",
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
    "Using env variable",
    "Distributed training is not used",
    "Checkpoints will be saved to",
    "Saving checkpoint at",
    "Load checkpoint from",
    "Exp name:",
)


class ArgumentParser(argparse.ArgumentParser):
    """argparse's parser, but an error is one line instead of the usage, and suggests the closest option."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2."""
        found = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        near = get_close_matches(found[1], self._option_string_actions, 1) if found else []
        hint = f"did you mean {near[0]}?" if near else f"see {self.prog} --help"
        self.exit(2, f"{self.prog}: error: {message}; {hint}\n")


class Terminal(logging.Filter):
    """Passes to the terminal only what a person watches.

    Until the first iteration has succeeded it holds back everything but warnings, so that an error takes a few lines.

    Args:
        handler: The terminal's handler, to which :meth:`release` gives what was held back.
    """

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self.handler = handler
        self.held: list[logging.LogRecord] | None = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown now."""
        if not self.is_shown(record):
            return False
        if self.held is None or record.levelno >= logging.WARNING or getattr(record, "at_once", False):
            return True
        self.held.append(record)
        return False

    @staticmethod
    def is_shown(record: logging.LogRecord) -> bool:
        """Whether a record is shown at all."""
        return not getattr(record, "log_only", False) and not record.getMessage().startswith(_DUMPS)

    def release(self) -> None:
        """Shows what was held back, and from now on everything at once."""
        held, self.held = self.held, None
        for record in held or ():
            self.handler.handle(record)


def command(main: Callable) -> Callable:
    """Decorates the main function of a command so that it reports errors in a few lines.

    An exception becomes SystemExit with ``COMMAND: error: MESSAGE``, which Python prints with status 1. Its traceback
    goes to the log file, if there is one, and so do warnings from other libraries. `--verbose` shows all of it.
    """

    @functools.wraps(main)
    def run(argv: list[str] | None = None) -> object:
        if "--verbose" in (sys.argv[1:] if argv is None else argv):
            return main(argv)
        before = len(_loggers())
        with warnings.catch_warnings():
            warnings.showwarning = _log_warning
            try:
                return main(argv)
            except SystemExit as end:
                if not isinstance(end.code, str):
                    raise
                raise SystemExit(_told(end.code, _loggers()[before:])) from None
            except Exception as error:
                raise SystemExit(_told(message_of(error), _loggers()[before:], error)) from error

    return run


def _loggers() -> list[logging.Logger]:
    """MMEngine's loggers that have a file, in the order of their creation."""
    module = sys.modules.get("mmengine.logging.logger")
    return [log for log in module.MMLogger._instance_dict.values() if log.log_file] if module else []


def _told(message: str, loggers: list[logging.Logger], error: Exception | None = None) -> str:
    """What is printed for an error: the message by the main process, a single line by each of the others."""
    name = os.path.basename(sys.argv[0])
    if rank := _rank():
        return f"{name}: error in process {rank}: {message.splitlines()[0]}"
    log = next((log for log in reversed(loggers) if os.path.isfile(log.log_file)), None)
    if error is not None and log is not None:
        log.error("".join(traceback.format_exception(error)), extra={"log_only": True})
    elif log is not None:
        log.error(message, extra={"log_only": True})
    lines = [f"{name}: error: {message}"]
    if log is not None:
        lines.append(f"details: {os.path.relpath(log.log_file)}")
    elif error is not None:
        lines.append("details: run the same command with --verbose")
    return "\n".join(lines)


def _rank() -> int:
    """Rank of this process in a distributed run."""
    module = sys.modules.get("mmengine.dist")
    return module.get_rank() if module and module.is_distributed() else int(os.environ.get("RANK", 0))


def _log_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *args: object, **kwargs: object
) -> None:
    """Sends a warning to the log file, and shows it as well if it is from this package."""
    ours = filename.startswith(PACKAGE)
    loggers = _loggers()
    if loggers:
        text = str(message) if ours else f"{filename}:{lineno}: {category.__name__}: {message}"
        loggers[-1].warning(text, extra={"log_only": not ours})
    elif ours:
        print(f"warning: {message}", file=sys.stderr)
