"""Findings about the machine: launchers, shared memory, limits, free memory."""

from __future__ import annotations

import os
import shutil
import sys

from .child import Probe
from .finding import error, note, ok, size_text, warning
from .installed import origin
from .memory import available_memory

SHM_SMALL = 512 * 2**20
FILES_FEW = 1024
MEMORY_LOW = 2 * 2**30


def examine_machine(probe: Probe, workers: int | None = None, needed_bytes: int = 0, on_cpu: bool = True) -> list:
    """All findings of this file.

    Args:
        probe: What the child process gave.
        workers: Workers of the config's loaders; None without a config.
        needed_bytes: What the config's model and optimiser take at least.
        on_cpu: Whether that is taken from the machine's memory, not a GPU's.
    """
    return [
        *launchers(probe),
        shared_memory(_free_of("/dev/shm"), workers),
        open_files(_files_limit(), workers),
        memory(available_memory(), needed_bytes if on_cpu else 0),
    ]


def launchers(probe: Probe) -> list:
    """Back ends of torch.distributed, torchrun, mim, slurm."""
    findings, facts = [], probe.good("torch facts")
    if facts and not facts["distributed"]:
        findings.append(
            warning(
                "no-distributed",
                "this torch is built without torch.distributed: only one process can train",
                "install torch from the official wheels",
            )
        )
    elif facts:
        findings.append(ok("distributed", f"back ends: {', '.join(facts['backends']) or 'none'}"))
    own = os.path.realpath(os.path.dirname(sys.executable)) if sys.executable else ""
    folders = {own, os.path.realpath(os.path.join(sys.prefix, "bin"))}
    for program, instead in (("torchrun", "python -m torch.distributed.run"), ("mim", "python -m mim")):
        place = shutil.which(program)
        if place is None and program == "mim" and not origin("mim"):
            continue  # the packages say so
        if place is None:
            findings.append(note(program, f"not on PATH; `{instead}` does the same"))
            continue
        if os.path.realpath(os.path.dirname(place)) in folders:
            findings.append(ok(program, place))
        elif program == "torchrun":
            findings.append(
                warning(
                    "torchrun-elsewhere",
                    f"{program} on PATH is {place}, of another Python than {sys.executable}",
                    f"activate this environment (source {sys.prefix}/bin/activate), or call {instead}",
                )
            )
        else:
            findings.append(note(program, f"{place}, of another Python; `{instead}` is this one's"))
    if shutil.which("srun"):
        job = os.environ.get("SLURM_JOB_ID")
        tasks = os.environ.get("SLURM_NTASKS", "1")
        if job:
            findings.append(ok("slurm", f"job {job} on {os.environ.get('SLURM_JOB_PARTITION', '?')}, {tasks} tasks"))
        else:
            findings.append(
                note("slurm", "srun is there, but this is no job: GPUs and limits are those of this node", "srun ...")
            )
    return findings


def shared_memory(free: int | None, workers: int | None) -> object:
    """Whether `/dev/shm`, through which workers hand over batches, is large enough."""
    if free is None:
        return note("shm", "no /dev/shm here")
    text = f"/dev/shm has {size_text(free)} free"
    if free >= SHM_SMALL or workers == 0:
        return ok("shm", text)
    return warning(
        "shm-small",
        f"{text}: loaders with workers{f' (here {workers})' if workers else ''} may end with a bus error",
        "docker run --shm-size=8g (or --ipc=host), or --cfg-options train_dataloader.num_workers=0",
    )


def open_files(limit: int | None, workers: int | None) -> object:
    """Whether a process may open as many files as loaders with workers do."""
    if limit is None or limit >= FILES_FEW or limit < 0:
        return ok("files", "no limit of open files" if limit is None or limit < 0 else f"{limit} files may be open")
    return warning(
        "open-files",
        f"a process may open only {limit} files: loaders with workers end with 'Too many open files'",
        "ulimit -n 4096 in the shell, or fewer workers",
    )


def memory(available: int | None, needed: int) -> object:
    """Whether there is memory for the model and its optimiser, at least."""
    if available is None:
        return note("memory", "free memory is not known on this system")
    text = f"{size_text(available)} of memory available"
    if needed and available < needed:
        return error(
            "memory-low",
            f"{text}, but the model's weights, gradients and optimiser alone take {size_text(needed)}",
            "free memory, a smaller model, or another machine; otcxr train --estimate CONFIG measures what a run takes",
        )
    if available < MEMORY_LOW:
        return warning(
            "memory-low",
            f"{text}: less than imports and a few workers take",
            "end other programs, ask for more memory (slurm: --mem; docker: --memory), or use fewer workers",
        )
    return ok("memory", text)


def _free_of(folder: str) -> int | None:
    try:
        stat = os.statvfs(folder)
    except (OSError, AttributeError):
        return None
    return stat.f_bavail * stat.f_frsize


def _files_limit() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
