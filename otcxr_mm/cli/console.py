"""What all commands share: short errors, and few lines on the terminal. The log file has everything."""

from __future__ import annotations

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

from .messages import message_of

# beginnings of MMEngine's long dumps and of its own deprecation warnings
_DUMPS = (
    "\n----",
    "Config:\n",
    "Hooks will be executed",
    "Leak audit:\n",
    "Leak audit of the online probe",
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
    """argparse's parser with `--verbose`; an error is one line without the usage, and suggests the closest option."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.add_argument("--verbose", action="store_true", help="show all messages, and the traceback of an error")

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2."""
        found = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        near = get_close_matches(found[1], self._option_string_actions, 1) if found else []
        hint = f"did you mean {near[0]}?" if near else f"see {self.prog} --help"
        self.exit(2, f"{self.prog}: error: {message}; {hint}\n")


def is_shown(record: logging.LogRecord) -> bool:
    """Whether a log record goes to the terminal, too: what people watch does, long dumps do not."""
    return not getattr(record, "log_only", False) and not record.getMessage().startswith(_DUMPS)


def command(main: Callable) -> Callable:
    """Decorates the main function of a command so that it reports errors in a few lines.

    An exception becomes SystemExit with ``COMMAND: error: MESSAGE``, which Python prints with status 1. Its traceback
    goes to the log file, if there is one. `--verbose` shows it, and warnings from other libraries.
    """

    @functools.wraps(main)
    def run(argv: list[str] | None = None) -> object:
        if "--verbose" in (sys.argv[1:] if argv is None else argv):
            return main(argv)
        before = len(_loggers())
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="(?!otcxr_mm)")
            try:
                return main(argv)
            except KeyboardInterrupt:
                raise SystemExit(130) from None
            except (Exception, SystemExit) as error:
                if isinstance(error, SystemExit) and not isinstance(error.code, str):
                    raise
                raise SystemExit(_report(error, _loggers()[before:])) from error

    return run


def _loggers() -> list[logging.Logger]:
    """MMEngine's loggers that have a file, in the order of their creation."""
    module = sys.modules.get("mmengine.logging.logger")
    return [log for log in module.MMLogger._instance_dict.values() if log.log_file] if module else []


def _report(error: BaseException, loggers: list[logging.Logger]) -> str:
    """What is printed for an error: the message by the main process, a single line by each of the others."""
    name = os.path.basename(sys.argv[0])
    expected = isinstance(error, SystemExit)
    message = str(error.code) if expected else message_of(error)
    if rank := _rank():
        return f"{name}: error in process {rank}: {message.splitlines()[0]}"
    lines = [f"{name}: error: {message}"]
    log = next((log for log in reversed(loggers) if os.path.isfile(log.log_file)), None)
    if log is not None:
        log.error(message if expected else "".join(traceback.format_exception(error)), extra={"log_only": True})
        lines.append(f"details: {os.path.relpath(log.log_file)}")
    elif not expected:
        lines.append("details: run the same command with --verbose")
    return "\n".join(lines)


def _rank() -> int:
    """Rank of this process in a distributed run."""
    module = sys.modules.get("mmengine.dist")
    return module.get_rank() if module and module.is_distributed() else int(os.environ.get("RANK", 0))
