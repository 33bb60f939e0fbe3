"""The recorded runs, one JSON-lines file per queue, and the configs that they are records of."""

import fcntl
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mmengine.config import Config

from otcxr_mm.utils.files import write_whole

from .queues import QUEUES
from .run import Run

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "docs" / "results" / "runs"
# what of a config decides the figures; default hooks only watch and keep
DECIDING = ("model", "train_dataloader", "optim_wrapper", "param_scheduler", "train_cfg", "randomness", "custom_hooks")


def data_folder() -> Path:
    """Folder with the radiographs."""
    return Path(os.environ.get("OTCXR_DATA", ROOT.parent / "shared" / "data")).absolute()


def work_folder() -> Path:
    """Folder for packed images, checkpoints and predictions."""
    return Path(os.environ.get("OTCXR_SCREEN", ROOT / "work_dirs" / "methods")).absolute()


def config_of(run: Run) -> Config:
    """The whole config of a run."""
    os.environ.update(OTCXR_DATA=str(data_folder()), OTCXR_SCREEN=str(work_folder()))
    cfg = Config.fromfile(Path(__file__).parent / "configs" / f"{run.config}.py")
    for name in filter(None, (run.start, run.data)):
        cfg.merge_from_dict(Config.fromfile(Path(__file__).parent / "configs" / f"{name}.py").to_dict())
    cfg.merge_from_dict(dict(run.options))
    cfg.train_cfg.max_epochs = cfg.max_epochs = run.epochs
    cfg.param_scheduler[-1].end = max(run.epochs, 2)
    cfg.randomness = dict(seed=run.seed)
    return cfg


def config_hash(cfg: Config) -> str:
    """Hash of what decides a run's figures in a config, whatever folders this machine keeps its files in."""
    deciding = {key: value for key, value in cfg.to_dict().items() if key in DECIDING}
    text = json.dumps(deciding, sort_keys=True, default=str)
    for folder in (data_folder(), work_folder()):
        text = text.replace(str(folder), "")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_folder(queue: str, name: str, digest: str) -> Path:
    """Where a run keeps its checkpoints and predictions."""
    return work_folder() / queue / f"{name}-{digest}"


def code_commit() -> str:
    """Commit of this checkout, with `-dirty` behind it if a tracked file outside docs/ has changed."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", ".", ":!docs"]).returncode
    return head + ("-dirty" if changed else "")


def recorded(queue: str) -> dict[str, dict]:
    """The last record of each run in the file of a queue, by name."""
    path = RESULTS / f"{queue}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {record["name"]: record for record in map(json.loads, lines)}


def record_of(queue: str, name: str) -> dict | None:
    """The record of a run; None if there is none or it is of another config."""
    run, record = QUEUES[queue][name], recorded(queue).get(name)
    if record is None or record["config_hash"] != config_hash(config_of(run)) or (run.test and "test" not in record):
        return None
    return record


def predictions(queue: str, name: str) -> tuple[dict, dict[str, np.ndarray]]:
    """Record and predictions of a run."""
    record = record_of(queue, name)
    if record is None:
        raise SystemExit(
            f"{name}: not recorded with the present config in the queue {queue}: methods.py run {queue} --only {name}"
        )
    path = run_folder(queue, name, record["config_hash"]) / "arrays.npz"
    if not path.exists():
        raise SystemExit(
            f"{path} is not there, and the comparison needs the predictions: "
            f"methods.py run {queue} --only {name} --evaluate-again (trains again if the backbone is gone)"
        )
    with np.load(path) as stored:
        return record, dict(stored)


def append(record: dict) -> None:
    """Adds a record to the file of its queue; readers see the whole line or none of it."""
    path = RESULTS / f"{record['queue']}.jsonl"
    with locked(work_folder() / record["queue"] / "records.lock"):
        before = path.read_bytes() if path.exists() else b""
        write_whole(path, before + json.dumps(rounded(record)).encode() + b"\n")


def rounded(value: object) -> object:
    """A record with its numbers to five digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return value


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Holds a lock between processes.

    Args:
        path: The lock file.
        wait: Whether to wait for the process that holds it.

    Raises:
        SystemExit: If another process holds it, without `wait`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            raise SystemExit(f"{path}: another process is working on this run") from None
        yield
