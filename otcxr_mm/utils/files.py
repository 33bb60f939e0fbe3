"""Files that are whole or not there."""

import os


def write_whole(path: str | os.PathLike, data: bytes | memoryview) -> None:
    """Writes `data` under another name, syncs, and renames: a reader sees the old file or the whole new one.

    Args:
        path: The file; its folder is made if needed.
        data: Its content.
    """
    path = os.fspath(path)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    temporary = f"{path}.tmp.{os.getpid()}"
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
