"""One run at a time in a work dir."""

import fcntl
import logging
import os
import socket
from datetime import datetime

from filelock import FileLock, Timeout

NAME = ".lock"
PATIENCE = 5.0  # seconds; the workers of a killed run may live that long
_held: dict[str, FileLock] = {}  # by real path


def hold(folder: str | os.PathLike) -> bool:
    """Locks a folder for this process until :func:`release`, or until the process ends in whatever way.

    Returns:
        False if this process has locked it already.

    Raises:
        RuntimeError: If another process holds it; names the process and its host.
    """
    path = os.path.realpath(folder)
    if path in _held:
        return False
    os.makedirs(path, exist_ok=True)
    file = os.path.join(path, NAME)
    lock = FileLock(file)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise RuntimeError(
            f"{folder} is in use by {_holder(file)}: wait for its end, or write elsewhere (--work-dir DIR)"
        ) from None
    except (NotImplementedError, OSError) as error:  # a file system without locks
        from mmengine.logging import print_log

        print_log(f"{folder} cannot be locked against a second run: {error}", "current", logging.WARNING)
        return False
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now():%Y-%m-%d %H:%M}\n")
    _held[path] = lock
    return True


def release(folder: str | os.PathLike) -> None:
    """Unlocks what :func:`hold` has locked."""
    if lock := _held.pop(os.path.realpath(folder), None):
        lock.release()


def is_held(folder: str | os.PathLike) -> bool:
    """Whether a process has locked a folder with :func:`hold`; writes nothing into it."""
    try:
        with open(os.path.join(folder, NAME), encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file, or a file system without locks
        return False
    return False


def _holder(file: str) -> str:
    """What the process that holds a lock has written about itself."""
    try:
        with open(file, encoding="utf-8", errors="replace") as stream:
            text = stream.read(200).strip()
    except OSError:
        text = ""
    return text if text.isprintable() and text else "another process"
