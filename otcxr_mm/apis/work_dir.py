"""Finds, protects and removes what earlier runs left in a work dir."""

import glob
import os

# files that show that a run is there, and that training would overwrite or remove
CHECKPOINTS = ("last_checkpoint", "epoch_*.pth", "iter_*.pth", "interrupted.pth", "best_*.pth", "linear.pth", "knn.pth")
RESULTS = (
    "backbone.pth",
    "backbone.json",
    "manifest.json",
    "overlays.png",
    "predictions.npz",
    "reliability.png",
    "results.csv",
    "results.json",
    "*.pth.tmp.*",
)


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
    return max(_found(work_dir, ("epoch_*.pth", "iter_*.pth", "interrupted*.pth")), key=os.path.getmtime, default=None)


def best_checkpoint(work_dir: str) -> str | None:
    """The checkpoint to test: the classifier on frozen features, the best on validation images, or the last one."""
    for pattern in ("linear.pth", "knn.pth", "best_*.pth"):
        found = _found(work_dir, (pattern,))
        if found:
            return max(found, key=os.path.getmtime)
    return latest_checkpoint(work_dir)


def config_of(work_dir: str) -> str:
    """The config that a run left in its work dir, including its --cfg-options."""
    found = _found(work_dir, ("*.py",))
    if len(found) != 1:
        raise SystemExit(f"{work_dir}: expected one config (*.py) in this folder, found {len(found)}: name the config")
    return found[0]


def check_writable(work_dir: str) -> None:
    """Ends the process if a folder is not writable.

    Raises:
        SystemExit: With the reason.
    """
    from ..utils.machine import cannot_write

    if reason := cannot_write(work_dir):
        raise SystemExit(f"{work_dir}: the work dir cannot be written to ({reason}): name another with --work-dir")


def refuse_to_overwrite(work_dir: str) -> None:
    """Ends the process if a run has left its checkpoints in the work dir.

    Raises:
        SystemExit: With the remedies.
    """
    found = _found(work_dir, CHECKPOINTS)
    if found:
        raise SystemExit(
            f"{work_dir} already holds a run ({os.path.basename(found[0])}): resume it (--resume), write elsewhere "
            "(--work-dir DIR), or remove its checkpoints and results (--overwrite)"
        )


def remove_run(work_dir: str) -> None:
    """Removes the checkpoints and results of a run; its logs, cached features and other files stay."""
    for path in _found(work_dir, (*CHECKPOINTS, *RESULTS)):
        os.remove(path)


def _found(work_dir: str, patterns: tuple[str, ...]) -> list[str]:
    """Files in a folder that match any of the patterns."""
    paths = (path for pattern in patterns for path in glob.glob(os.path.join(glob.escape(work_dir), pattern)))
    return [path for path in paths if os.path.isfile(path)]
