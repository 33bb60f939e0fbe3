"""Memory and disk of this machine."""

import multiprocessing
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from ..doctor.memory import available_memory


def gpu_available() -> int:
    """Bytes of the GPU that this process has or can have."""
    free, _ = torch.cuda.mem_get_info()
    return free + torch.cuda.memory_reserved()


def host_memory() -> int:
    """Peak of this process, and what its workers have that is not shared with it, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + private_of_workers()


def resident() -> int:
    """What this process and its workers hold now."""
    found = dict(fields(Path("/proc/self/status")))
    return found.get("VmRSS", 0) + private_of_workers()


def private_of_workers() -> int:
    """Bytes that workers have and do not share with this process."""
    total = 0
    for process in multiprocessing.active_children():
        found = dict(fields(Path(f"/proc/{process.pid}/smaps_rollup")))
        total += found.get("Private_Clean", 0) + found.get("Private_Dirty", 0)
    return total


def fields(path: Path) -> Iterator[tuple[str, int]]:
    """`Name: 12 kB` of a file of /proc, in bytes; nothing where there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        name, _, value = line.partition(":")
        if value.endswith("kB"):
            yield name, 1024 * int(value.split()[0])


def host_available() -> int | None:
    """Memory that is free for more, in bytes: that of the machine, or of the container or job; None if unknown."""
    return available_memory()


def disk_free(folder: str) -> int:
    """Bytes that are free where a folder is, or will be."""
    path = Path(folder).expanduser().absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def synchronise() -> None:
    """Waits until the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, of a GPU or of the machine."""
    # torch has a type for its own allocator alone; the driver's word, as at the start of a full GPU, is a RuntimeError
    said = ("can't allocate memory", "CUDA error: out of memory")
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or any(text in str(error) for text in said)
