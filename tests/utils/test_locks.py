import os
import signal
import socket
import subprocess
import sys

import pytest

from otcxr_mm.utils import locks
from tests.conftest import ROOT

# with a child that lives on, as the workers of a loader do
HOLD = """
import os, sys, time
from otcxr_mm.utils.locks import hold
print(hold(sys.argv[1]), hold(sys.argv[1]), flush=True)
os.fork()
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=-1, cwd=ROOT, start_new_session=True)
    assert process.stdout.readline() == b"True False\n"
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_second_process_is_refused_until_the_first_one_is_gone(holder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(locks, "PATIENCE", 0)
        who = rf"in use by process {holder.pid} on {socket.gethostname()}, since 20.*: wait .*--work-dir DIR"
        for _ in range(2):  # the first refusal does not forget who it is
            with pytest.raises(RuntimeError, match=who):
                locks.hold(tmp_path)
    holder.kill()
    assert locks.hold(tmp_path)
    locks.release(tmp_path)
    assert locks.hold(tmp_path)
    locks.release(tmp_path)


def test_a_link_to_a_held_folder_is_the_same_folder(holder, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0)
    (tmp_path.parent / "link").symlink_to(tmp_path)
    (tmp_path / locks.NAME).write_bytes(b"\xff\x1b[31m\n")
    with pytest.raises(RuntimeError, match="in use by another process"):
        locks.hold(tmp_path.parent / "link")


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, log):
    def refuse(*args, **kwargs):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.FileLock, "acquire", refuse)
    assert not locks.hold(tmp_path)
    assert "cannot be locked against a second run: [Errno 37] No locks available" in log.text
