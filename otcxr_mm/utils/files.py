"""Files that are whole or not there."""

import glob
import os
import socket


def write_whole(path: str | os.PathLike, data: bytes | memoryview) -> None:
    """Writes `data` under another name, syncs, and renames: a reader sees the old file or the whole new one.

    What a killed process has left of the same file on this host is removed.

    Args:
        path: The file; its folder is made if needed.
        data: Its content.
    """
    path = os.fspath(path)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    host = socket.gethostname()
    for leftover in glob.glob(f"{glob.escape(path)}.tmp.{host}.*"):
        if not _lives(leftover.rpartition(".")[2]):
            os.remove(leftover)
    temporary = f"{path}.tmp.{host}.{os.getpid()}"
    try:
        with open(temporary, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        reason = f"cannot be written ({error.strerror or error}): make room, or write elsewhere"
        raise OSError(error.errno, reason, path) from error
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def _lives(process: str) -> bool:
    """Whether a process with this number runs on this host."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):  # it is another user's, or no number
        return True
    return True
