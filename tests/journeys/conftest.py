"""Runs the command `otcxr` as a user does, without paying for its imports each time.

One process per session imports MMEngine, MMPretrain and this package; each command runs in a fork of it, with its own
folder, environment and output.
"""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

import pytest

from . import own
from .planted import Planted

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Run:
    """A command: its arguments, standard output and error interleaved, and its exit status once it has ended."""

    argv: list[str]
    path: Path
    connection: Connection
    pid: int = 0
    status: int | None = None

    def wait(self, timeout: float = 300) -> "Run":
        """Waits for the end of the command, and kills it after `timeout` seconds."""
        if not self.connection.poll(timeout):
            os.kill(self.pid, signal.SIGKILL)
        self.status = self.connection.recv()
        self.connection.close()
        return self

    @property
    def out(self) -> str:
        """What the command has printed so far."""
        return self.path.read_text(errors="replace") if self.path.exists() else ""

    @property
    def lines(self) -> list[str]:
        """The lines of the output that are not empty."""
        return [line for line in self.out.splitlines() if line.strip()]


class Otcxr:
    """The command `otcxr`: ``otcxr("train", config, cwd=folder).out``."""

    def __init__(self, address: Path) -> None:
        self.address = address
        self.count = 0

    def start(
        self,
        *argv: object,
        cwd: str | Path = ROOT,
        env: dict[str, object] | None = None,
        limits: dict[str, int] | None = None,
    ) -> Run:
        """Starts a command and returns at once.

        Args:
            *argv: Arguments of `otcxr`.
            cwd: Folder in which it runs.
            env: Variables that override those of this process.
            limits: Limits of the process, such as ``{"RLIMIT_FSIZE": 1000}``.
        """
        self.count += 1
        words = [str(word) for word in argv]
        inherited = {key: value for key, value in os.environ.items() if key not in ("PYTHONWARNINGS", "LOCAL_RANK")}
        variables = {**inherited, **{key: str(value) for key, value in (env or {}).items()}}
        run = Run(words, self.address.with_name(f"{self.count}.txt"), Client(str(self.address)))
        run.connection.send((words, str(cwd), variables, limits or {}, str(run.path)))
        run.pid = run.connection.recv()
        return run

    def __call__(self, *argv: object, check: bool = False, timeout: float = 300, **kwargs: object) -> Run:
        """Runs a command to its end; with `check`, a status other than 0 fails the test."""
        run = self.start(*argv, **kwargs).wait(timeout)
        assert not check or run.status == 0, f"otcxr {' '.join(run.argv)} ended with {run.status}\n{run.out[-5000:]}"
        return run


@pytest.fixture(scope="session")
def otcxr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Otcxr]:
    """Runs `otcxr ...` in forks of one process, see :class:`Otcxr`."""
    address = tmp_path_factory.mktemp("otcxr") / "socket"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"}
    env.update(
        OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
        OMP_WAIT_POLICY="PASSIVE",
        OPENCV_LOG_LEVEL="ERROR",
        PYTHONPATH=str(ROOT),
    )
    command = [sys.executable, "-m", "tests.journeys.conftest", str(address)]
    with open(address.with_name("server.txt"), "w") as output:
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output)
    try:
        while not address.exists():
            assert server.poll() is None, f"the process that runs the commands has ended, see {output.name}"
            time.sleep(0.1)
        yield Otcxr(address)
    finally:
        server.kill()
        server.wait()


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


def _serve(address: str) -> tuple[list[str], str, dict[str, str], dict[str, int], str]:
    """Waits for commands, and returns each in a process of its own."""
    with Listener(f"{address}.new") as listener:
        os.rename(f"{address}.new", address)  # there only once it listens
        while True:
            connection = listener.accept()
            if os.fork():  # the server goes on listening
                connection.close()
                continue
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            request = connection.recv()
            pid = os.fork()
            if not pid:
                connection.close()
                return request
            with suppress(BrokenPipeError):  # the test gave up
                connection.send(pid)
                connection.send(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            os._exit(0)


def _become(argv: list[str], cwd: str, env: dict[str, str], limits: dict[str, int], out: str) -> None:
    """Makes this process that of the command, and the leader of its own group, to which a test can send a signal."""
    os.setsid()
    for number, path, mode in ((0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)):
        opened = os.open(path, mode, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    os.dup2(1, 2)
    sys.stdout.reconfigure(line_buffering=True)  # as on a terminal
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["otcxr", *argv]
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))


if __name__ == "__main__":
    import ctypes
    import gc
    import importlib

    import torch

    import otcxr_mm
    from otcxr_mm.cli import main

    for _name in otcxr_mm.__all__:
        getattr(otcxr_mm, _name)
    heavy = ("mmengine.runner", "mmpretrain.models", "mmpretrain.datasets", "mmseg.models", "matplotlib.pyplot", "yapf")
    heavy += ("scipy.spatial", "sklearn.metrics")
    for _name in heavy:
        with suppress(ImportError):  # MMSegmentation is an extra
            importlib.import_module(_name)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it ends with the tests
    torch.set_num_threads(1)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _become(*_serve(sys.argv[1]))
    main()
