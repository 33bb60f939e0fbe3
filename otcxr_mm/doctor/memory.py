"""Memory that a process can still take, of the machine and of the control groups that it is in."""

from __future__ import annotations

import os

_UNLIMITED = 2**60  # version 1 writes a number near 2**63 where there is no limit


def available_memory(proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> int | None:
    """Bytes that this process can still take: what is free, and what its container or job allows.

    Args:
        proc: Where the kernel tells of processes.
        cgroups: Where control groups are mounted, of version 1, 2 or both.

    Returns:
        The least of all; None where nothing is known.
    """
    found = [left for left in (_free(proc), *_left(proc, cgroups)) if left is not None]
    return min(found, default=None)


def _free(proc: str) -> int | None:
    kilobytes = _fields(os.path.join(proc, "meminfo")).get("MemAvailable:")
    return None if kilobytes is None else 1024 * kilobytes


def _left(proc: str, cgroups: str) -> list:
    """Bytes left below the limits of all control groups above this process.

    A page cache that has not been used lately is given back when memory is asked for, and counts as free. Within a
    container the path of the process may be one that is seen from outside alone; its parents are looked at in any case.
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


def _groups(path: str) -> list:
    """(controllers, path) of the groups that limit memory; version 2 has no controllers here."""
    try:
        with open(path) as stream:
            entries = [line.rstrip("\n").split(":", 2) for line in stream]
    except OSError:
        return [("", "/"), ("memory", "/")]
    return [(e[1], e[2]) for e in entries if len(e) == 3 and (not e[1] or "memory" in e[1].split(","))]


def _fields(path: str) -> dict:
    """First and second word of each line, where the second is a number."""
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
