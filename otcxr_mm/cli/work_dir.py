"""Finds, protects and removes what earlier runs left in a work dir."""

import os

from ..utils.checkpoints import files_in
from ..utils.locks import hold
from ..utils.machine import cannot_write

# where launchers say which process this is
RANK = {"pytorch": "RANK", "slurm": "SLURM_PROCID", "mpi": "OMPI_COMM_WORLD_RANK"}
# files that show that a run is there, and that training would overwrite or remove
CHECKPOINTS = ("last_checkpoint", "epoch_*.pth", "iter_*.pth", "interrupted.pth", "best_*.pth", "linear.pth", "knn.pth")
RESULTS = (
    *("backbone.pth", "backbone.json", "manifest.json", "results.json", "results.csv", "predictions.npz"),
    *("overlays.png", "reliability.png", "*.pth.tmp.*"),
)


def config_of(work_dir: str) -> str:
    """The config that a run left in its work dir, including its --cfg-options."""
    found = files_in(work_dir, ("*.py",))
    if len(found) != 1:
        raise SystemExit(f"{work_dir}: expected one config (*.py) in this folder, found {len(found)}: name the config")
    return found[0]


def check_writable(work_dir: str) -> None:
    """Ends the process if a folder is not writable."""
    if reason := cannot_write(work_dir):
        raise SystemExit(f"{work_dir}: the work dir cannot be written to ({reason}): name another with --work-dir")


def claim(work_dir: str, launcher: str) -> None:
    """Locks a work dir for the main process of a run; ends the process if it is not writable or is in use."""
    check_writable(work_dir)
    if os.environ.get(RANK.get(launcher, ""), "0") == "0":
        try:
            hold(work_dir)
        except RuntimeError as error:
            raise SystemExit(str(error)) from None


def refuse_to_overwrite(work_dir: str) -> None:
    """Ends the process if a run has left its checkpoints in the work dir."""
    if found := files_in(work_dir, CHECKPOINTS):
        raise SystemExit(
            f"{work_dir} already holds a run ({os.path.basename(found[0])}): resume it (--resume), write elsewhere "
            "(--work-dir DIR), or remove its checkpoints and results (--overwrite)"
        )


def remove_run(work_dir: str) -> None:
    """Removes the checkpoints and results of a run; its logs, cached features and other files stay."""
    for path in files_in(work_dir, (*CHECKPOINTS, *RESULTS)):
        os.remove(path)
