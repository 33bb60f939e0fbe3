"""Runs the command `otcxr` as a user does, without paying for its imports each time.

The fork server of a session imports MMEngine, MMPretrain and this package; each command runs in a fork of it, with its
own folder, environment and output.
"""

import atexit
import multiprocessing
import os
import resource
import sys
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path

import pytest

import otcxr_mm
from tests.conftest import ROOT

from . import own
from .planted import Planted

HEAVY = (__name__, "otcxr_mm.cli", "mmengine.runner", "mmpretrain.models", "mmpretrain.datasets", "mmseg.models")
HEAVY += ("matplotlib.pyplot", "yapf", "scipy.spatial", "sklearn.metrics")
HEAVY += tuple(f"otcxr_mm.{name}" for name in otcxr_mm._MODULES)


@dataclass
class Run:
    """A command: its process, and standard output and error interleaved."""

    process: multiprocessing.Process
    path: Path

    def wait(self, timeout: float = 300) -> "Run":
        """Waits for the end of the command, and kills it after `timeout` seconds."""
        self.process.join(timeout)
        self.process.kill()
        self.process.join()
        return self

    @property
    def pid(self) -> int:
        """Number of the process, which leads a group of its own."""
        return self.process.pid

    @property
    def status(self) -> int | None:
        """Exit status; None while the command runs."""
        return self.process.exitcode

    @property
    def out(self) -> str:
        """What the command has printed so far."""
        return self.path.read_text(errors="replace") if self.path.exists() else ""

    @property
    def lines(self) -> list[str]:
        """The lines of the output that are not empty."""
        return [line for line in self.out.splitlines() if line.strip()]


@dataclass
class Otcxr:
    """The command `otcxr`: ``otcxr("train", config, cwd=folder).out``."""

    folder: Path
    count: int = 0

    def start(
        self,
        *argv: object,
        cwd: str | Path = ROOT,
        env: dict[str, object] | None = None,
        limits: dict[str, int] | None = None,
    ) -> Run:
        """Starts a command, with `env` over the variables of this process and limits such as RLIMIT_FSIZE."""
        self.count += 1
        inherited = {key: value for key, value in os.environ.items() if key not in ("PYTHONWARNINGS", "LOCAL_RANK")}
        variables = {**inherited, **{key: str(value) for key, value in (env or {}).items()}}
        output = self.folder / f"{self.count}.txt"
        command = ([str(word) for word in argv], str(cwd), variables, limits or {}, str(output))
        process = multiprocessing.get_context("forkserver").Process(target=_command, args=command)
        process.start()
        return Run(process, output)

    def __call__(self, *argv: object, check: bool = False, timeout: float = 300, **kwargs: object) -> Run:
        """Runs a command to its end; with `check`, a status other than 0 fails the test."""
        run = self.start(*argv, **kwargs).wait(timeout)
        assert not check or run.status == 0, f"otcxr {argv} ended with {run.status}\n{run.out[-5000:]}"
        return run


@pytest.fixture(scope="session")
def otcxr(tmp_path_factory: pytest.TempPathFactory) -> Otcxr:
    """Runs `otcxr ...` in forks of one process, see :class:`Otcxr`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONWARNINGS", raising=False)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OPENCV_LOG_LEVEL", "ERROR")
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            patch.setenv(name, "1")
        forkserver.set_forkserver_preload(list(HEAVY))
        forkserver.ensure_running()
    return Otcxr(tmp_path_factory.mktemp("otcxr"))


@pytest.fixture(scope="session")
def hospital(otcxr: Otcxr, real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A folder with a csv; beside it, a backbone pre-trained on its training images, evaluated and tested."""
    folder = tmp_path_factory.mktemp("own")
    planted = own.own_csv(folder / "hospital", real_data)
    table = 'ann_file="labels.csv", img_prefix="images", split="train",'
    (folder / "mine.py").write_text(own.PRETRAIN.format(root="hospital", more=table))
    (folder / "labels.py").write_text(own.LABELS.format(root="hospital", more=own.MAPPING, classes=3))
    otcxr("train", "mine.py", *own.CROPS, cwd=folder, check=True)
    otcxr("train", "labels.py", cwd=folder, check=True)
    otcxr("test", "work_dirs/labels", cwd=folder, check=True)
    return planted


def _command(argv: list[str], cwd: str, env: dict[str, str], limits: dict[str, int], out: str) -> None:
    """Makes this process that of the command, and the leader of its own group, and runs it."""
    os.setsid()
    from otcxr_mm.cli import main

    output = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout.reconfigure(line_buffering=True)  # as on a terminal
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["otcxr", *argv]
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))
    try:
        main()
    finally:
        atexit._run_exitfuncs()
