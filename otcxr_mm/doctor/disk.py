"""Findings about the folders that a run writes to."""

from __future__ import annotations

import os
import shutil
import tempfile

from .finding import error, ok, size_text, warning

DISK_LOW = 2**30


def examine_disk(work_dir: str, needed_bytes: int = 0, reason: str = "") -> list:
    """All findings of this file.

    Args:
        work_dir: Where checkpoints go; it need not be there yet.
        needed_bytes: What the config's checkpoints take.
        reason: How that was counted; without `needed_bytes`, what is known of them.
    """
    return [*writable_work_dir(work_dir, needed_bytes, reason), *temporary()]


def writable_work_dir(work_dir: str, needed_bytes: int, reason: str) -> list:
    """Whether the work dir can be made and written to, and has room."""
    problem = cannot_write(work_dir)
    if problem:
        return [
            error(
                "disk-full" if "No space left" in problem or "quota" in problem.lower() else "work-dir",
                f"the work dir {work_dir} cannot be written to: {problem}",
                "--work-dir DIR, with a folder that is yours and has room",
            )
        ]
    return [room(work_dir, shutil.disk_usage(nearest_folder(work_dir)).free, needed_bytes, reason)]


def cannot_write(folder: str) -> str:
    """Why a folder cannot be written to, or not be made; '' if it can. Leaves nothing."""
    existing = nearest_folder(folder)
    return try_to_write(existing) if os.path.isdir(existing) else f"{existing} is a file, not a folder"


def room(work_dir: str, free: int, needed: int, reason: str) -> object:
    """Whether there is room for the checkpoints."""
    text = f"{work_dir}: {size_text(free)} free"
    if needed and free < needed:
        return error(
            "disk-full",
            f"{text}, but the run's files take {size_text(needed)} at most ({reason})",
            "--work-dir DIR on a larger disk, or keep fewer: --cfg-options default_hooks.checkpoint.max_keep_ckpts=2",
        )
    if free < DISK_LOW:
        return warning("disk-full", f"{text}", "--work-dir DIR on another disk, or remove what is not needed")
    if needed:
        text += f"; files take {size_text(needed)} at most ({reason})"
    return ok("work-dir", text + (f"; {reason}" if reason and not needed else ""))


def nearest_folder(path: str) -> str:
    """The path itself, or its nearest ancestor that is there."""
    path = os.path.abspath(os.path.expanduser(path))
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def try_to_write(folder: str) -> str:
    """Writes a file to a folder and removes it; '' or what went wrong. Permission bits alone do not tell."""
    try:
        handle, path = tempfile.mkstemp(prefix=".otcxr-doctor-", dir=folder)
    except OSError as failure:
        return f"{folder}: {failure.strerror}"
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(b"\0" * 65536)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as failure:
        return f"{folder}: {failure.strerror}"
    finally:
        os.unlink(path)
    return ""


def temporary() -> list:
    """Whether temporary files can be written, where TMPDIR says."""
    asked = os.environ.get("TMPDIR")
    if asked:
        problem = "it is no folder" if not os.path.isdir(asked) else try_to_write(asked)
        if problem:
            return [
                warning(
                    "tmpdir",
                    f"TMPDIR={asked} cannot be written to: {problem}",
                    "set TMPDIR to a folder of yours, or unset it",
                )
            ]
    try:
        folder = tempfile.gettempdir()
    except OSError as failure:
        return [error("tmpdir", f"there is no folder for temporary files: {failure.strerror}", "set TMPDIR")]
    free = shutil.disk_usage(folder).free
    if free < 100 * 2**20:
        return [warning("tmpdir", f"{folder} has only {size_text(free)} free", "set TMPDIR to a folder with room")]
    return [ok("tmpdir", f"{folder}: {size_text(free)} free")]
