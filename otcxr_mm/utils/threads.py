"""Work in threads, with a progress bar."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from rich.progress import track


def cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_threads(function: Callable, items: Sequence, what: str, jobs: int = 0) -> list:
    """Results in order, by threads, with a progress bar if they are many."""
    with ThreadPoolExecutor(jobs or cores()) as pool:
        results = pool.map(function, items)
        return list(track(results, what, total=len(items), transient=True, disable=len(items) < 200))
