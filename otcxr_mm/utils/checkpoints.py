"""Checkpoints of a run: finds them, and reads the settings in them without running code."""

import glob
import os
from collections.abc import Mapping

from .configs import read_settings


def latest_checkpoint(work_dir: str) -> str | None:
    """The checkpoint that MMEngine recorded last, or else the newest one in the folder."""
    note = os.path.join(work_dir, "last_checkpoint")
    if os.path.isfile(note):
        with open(note) as stream:
            path = stream.read().strip()
        # the work dir may have been moved or copied since
        for candidate in (os.path.join(work_dir, os.path.basename(path)), path):
            if os.path.isfile(candidate):
                return candidate
    return max(
        files_in(work_dir, ("epoch_*.pth", "iter_*.pth", "interrupted*.pth")), key=os.path.getmtime, default=None
    )


def best_checkpoint(work_dir: str) -> str | None:
    """The checkpoint to test: the classifier on frozen features, the best on validation images, or the last one."""
    for pattern in ("linear.pth", "knn.pth", "best_*.pth"):
        found = files_in(work_dir, (pattern,))
        if found:
            return max(found, key=os.path.getmtime)
    return latest_checkpoint(work_dir)


def files_in(work_dir: str, patterns: tuple[str, ...]) -> list[str]:
    """Files in a folder that match any of the patterns."""
    paths = (path for pattern in patterns for path in glob.glob(os.path.join(glob.escape(work_dir), pattern)))
    return [path for path in paths if os.path.isfile(path)]


def trained_config(checkpoint: Mapping) -> dict | None:
    """The config in a checkpoint of MMEngine, as plain containers; no code in it is run.

    Args:
        checkpoint: As it was loaded.

    Returns:
        None if there is none, or if it holds anything but literals.
    """
    text = (checkpoint.get("meta") or {}).get("cfg")
    if not isinstance(text, str):
        return None
    try:
        return read_settings(text)
    except (SyntaxError, ValueError):
        return None
