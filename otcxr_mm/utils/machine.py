"""Memory that a process takes and may still take, and folders that can be written to."""

from __future__ import annotations

import os
import tempfile

_UNLIMITED = 2**60  # version 1 writes a number near 2**63 where there is no limit


def available_memory(proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> int | None:
    """Bytes that this process can still take: the least of what the machine, the container and the job allow.

    Args:
        proc: Where the kernel lists processes.
        cgroups: Where control groups are mounted, of version 1, 2 or both.

    Returns:
        None if nothing is known.
    """
    free = _fields(os.path.join(proc, "meminfo")).get("MemAvailable:")
    found = _left(proc, cgroups) + ([] if free is None else [1024 * free])
    return min(found, default=None)


def _left(proc: str, cgroups: str) -> list[int]:
    """Bytes left below the limit of each control group above this process.

    Page cache that has not been used lately is given back when memory is asked for, so it counts as free. Inside a
    container the path of the process may be valid outside only; its parents are looked at in any case.
    """
    left = []
    for controllers, folder in _groups(os.path.join(proc, "self", "cgroup")):
        root = os.path.join(cgroups, "memory") if controllers else cgroups
        most, used, inactive = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            if controllers
            else ("memory.max", "memory.current", "inactive_file")
        )
        folder = os.path.normpath("/" + folder.lstrip("/"))  # a namespace may show /../other
        while True:
            here = root + folder.rstrip("/")
            limit, taken = _number(os.path.join(here, most)), _number(os.path.join(here, used))
            if limit is not None and taken is not None and limit < _UNLIMITED:
                stat = _fields(os.path.join(here, "memory.stat"))
                cache = stat.get(inactive, stat.get("inactive_file", 0))
                left.append(max(0, limit - max(0, taken - cache)))
            if folder == "/":
                break
            folder = os.path.dirname(folder)
    return left


def _groups(path: str) -> list[tuple[str, str]]:
    """(controllers, path) of the groups that limit memory; version 2 names no controllers here."""
    try:
        with open(path) as stream:
            entries = [line.rstrip("\n").split(":", 2) for line in stream]
    except OSError:
        return [("", "/"), ("memory", "/")]
    return [(e[1], e[2]) for e in entries if len(e) == 3 and (not e[1] or "memory" in e[1].split(","))]


def _fields(path: str) -> dict[str, int]:
    """First and second word of each line whose second word is a number."""
    try:
        with open(path) as stream:
            rows = [line.split() for line in stream]
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _number(path: str) -> int | None:
    try:
        with open(path) as stream:
            return int(stream.read())
    except (OSError, ValueError):  # "max" is no limit
        return None


def private_memory(proc: str) -> int:
    """Bytes that a process does not share with others, such as a worker with the process that forked it."""
    found = _fields(os.path.join(proc, "smaps_rollup"))
    return 1024 * (found.get("Private_Clean:", 0) + found.get("Private_Dirty:", 0))


def nearest_folder(path: str | os.PathLike) -> str:
    """The path itself if it exists, otherwise its nearest ancestor that does."""
    path = os.path.abspath(os.path.expanduser(path))
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def cannot_write(folder: str | os.PathLike) -> str:
    """Why a folder cannot be created or written to; '' if it can. Leaves nothing.

    A file is really written: permission bits do not show read-only file systems and quotas.
    """
    existing = nearest_folder(folder)
    try:
        with tempfile.TemporaryFile(prefix=".otcxr-", dir=existing) as stream:
            stream.write(bytes(65536))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        return f"{existing}: {error.strerror}"
    return ""


def size_text(count: float) -> str:
    """Bytes as people read them: `39.6 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
