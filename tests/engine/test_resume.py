"""A killed run, resumed, is the uninterrupted one."""

import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from otcxr_mm.utils.files import write_whole
from tests.conftest import ROOT, write_image
from tests.journeys.conftest import otcxr  # noqa: F401
from tests.journeys.planted import write_csv

WORKERS = {
    "no workers": (),
    "2 workers": ("train_dataloader.num_workers=2",),
    "2 persistent workers": ("train_dataloader.num_workers=2", "train_dataloader.persistent_workers=True"),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for i in range(22):
        write_image(folder / f"{i:02d}.png", (48, 48))
    write_csv(folder / "t.csv", "path,patient", [(f"{i:02d}.png", f"p{i // 3}") for i in range(22)])
    return folder


@pytest.fixture(scope="module")
def start(images, otcxr):  # noqa: F811
    """Starts a training of the tiny config in the background; half of the samples are pairs of a patient."""
    pairs = ["train_dataloader.dataset.ann_file=t.csv", "train_dataloader.dataset.pairs.share=0.5"]

    def run(work_dir, *args, options=()):
        command = ["train", "tests/tiny.py", "--work-dir", work_dir, *args, "--cfg-options", *pairs, *options]
        return otcxr.start(*command, env={"TINY_DATA": images})

    return run


def finish(process):
    assert process.wait(240).status == 0, process.out[-4000:]
    return process.out


def final(work_dir):
    return torch.load(work_dir / "iter_24.pth", weights_only=True, map_location="cpu")


def wait_for(process, iteration):
    """Waits until the log has come to an iteration, counted from 1 over all epochs."""
    for _ in range(10_000):
        found = re.findall(r"Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/6\]", process.out)
        if found and (int(found[-1][0]) - 1) * 6 + int(found[-1][1]) >= iteration:
            return
        time.sleep(0.01)
    raise AssertionError(f"the run did not come to iteration {iteration}:\n{process.out[-4000:]}")


@pytest.fixture(scope="module")
def uninterrupted(start, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("whole")
    assert "features/rank" in finish(start(work_dir, "--verbose"))
    assert (work_dir / "backbone.pth").is_file()
    return final(work_dir)


def assert_same(a, b):
    assert a["state_dict"].keys() == b["state_dict"].keys()
    for name, tensor in a["state_dict"].items():
        assert torch.equal(tensor, b["state_dict"][name]), name
    assert a["meta"]["iter"] == b["meta"]["iter"] == 24
    states = a["optimizer"]["state"], b["optimizer"]["state"]
    for key, slot in states[0].items():
        for name, tensor in slot.items():
            assert torch.equal(torch.as_tensor(tensor), torch.as_tensor(states[1][key][name])), (key, name)


@pytest.mark.parametrize("workers", ["no workers", "2 persistent workers"])
def test_sigkill_then_resume_is_the_same_bit_for_bit(start, tmp_path, uninterrupted, workers):
    at = random.SystemRandom().randint(6, 15)
    print(f"killed after iteration {at}")
    process = start(tmp_path, "--verbose", options=WORKERS[workers])
    wait_for(process, at)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "iter_24.pth").exists()
    output = finish(start(tmp_path, "--verbose", "--resume", options=WORKERS[workers]))
    resumed = re.search(r"resumed epoch: (\d+), iter: (\d+)", output)
    assert int(resumed[2]) % 5 == 0
    assert int(resumed[2]) > 0
    assert_same(final(tmp_path), uninterrupted)


@pytest.mark.parametrize(
    ("workers", "number"), [("2 persistent workers", signal.SIGTERM), ("2 workers", signal.SIGINT)]
)
def test_a_signal_saves_in_the_middle_of_an_epoch(start, tmp_path, uninterrupted, workers, number):
    options = ("default_hooks.checkpoint.interval=1000", *WORKERS[workers])
    process = start(tmp_path, "--verbose", options=options)
    wait_for(process, 8)
    os.killpg(process.pid, number)  # as slurm and torchrun do: the loader's workers get it too
    assert process.wait().status == 128 + number, process.out[-3000:]
    saved = re.search(r"SIG[A-Z]+: saved (.*interrupted\.pth) at iteration (\d+); continue with --resume", process.out)
    iteration = int(saved[2])
    assert iteration >= 8
    assert (tmp_path / "last_checkpoint").read_text() == saved[1]
    output = finish(start(tmp_path, "--verbose", "--resume", options=options))
    if iteration % 6:
        assert f"resumes after {iteration % 6} of 6 iterations" in output
    assert_same(final(tmp_path), uninterrupted)


def test_a_second_start_leaves_the_first_alone(start, tmp_path, uninterrupted):
    first = start(tmp_path, "--verbose", options=("default_hooks.checkpoint.interval=2",))
    wait_for(first, 3)
    os.kill(first.pid, signal.SIGSTOP)  # in whatever it was doing
    before = {path: path.read_bytes() for path in tmp_path.glob("*.*")}
    for second in [start(tmp_path, *command) for command in (("--resume",), ("--overwrite",), ())]:
        assert second.wait().status == 1
        assert re.search(rf"in use by process {first.pid} on .*--work-dir DIR", second.out)
    assert before == {path: path.read_bytes() for path in tmp_path.glob("*.*")}
    os.kill(first.pid, signal.SIGCONT)
    finish(first)
    assert_same(final(tmp_path), uninterrupted)


def test_of_many_starts_one_trains(start, tmp_path):
    runs = [start(tmp_path, options=("train_cfg.max_epochs=1",)).wait for _ in range(10)]
    runs = [wait() for wait in runs]
    assert sorted(run.status for run in runs) == [0, *[1] * 9]
    assert all(re.search("in use by process|already holds a run", run.out) for run in runs if run.status)
    assert torch.load(tmp_path / "iter_6.pth", weights_only=True)["meta"]["iter"] == 6


def test_resume_without_a_checkpoint_starts_from_the_beginning(start, tmp_path):
    short = ("train_cfg.max_epochs=1", "train_dataloader.batch_size=22")
    assert f"no checkpoint in {tmp_path} yet" in finish(start(tmp_path, "--resume", options=short))


def test_a_checkpoint_is_whole_or_not_there(tmp_path):
    """A process killed while it writes leaves the old file."""
    script = (
        "import sys\n"
        "from otcxr_mm.utils.files import write_whole\n"
        "while True:\n"
        "    write_whole(sys.argv[1], bytes(50_000_000))\n"
        "    print('written', flush=True)\n"
    )
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "c.pth")], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert b"written\n" in iter(process.stdout.readline, b"")
        time.sleep(0.2 * random.random())
        process.kill()
        process.wait()
        assert (tmp_path / "c.pth").stat().st_size == 50_000_000
    write_whole(tmp_path / "c.pth", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["c.pth"]  # what the killed ones left is gone


def test_a_second_signal_during_a_save_ends_the_run_at_once(python):
    script = (
        "import io, os, signal, threading, torch\n"
        "from otcxr_mm.engine.hooks.checkpoint import SIGNALS, AtomicCheckpointHook\n"
        "hook = AtomicCheckpointHook()\n"
        "hook.previous = {number: signal.signal(number, hook._on_signal) for number in SIGNALS}\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "while hook.asked_to_end:\n"
        "    torch.save([torch.zeros(1000) for _ in range(3000)], io.BytesIO())\n"
    )
    result = python("-c", script, check=False)
    assert (result.returncode, result.stderr) == (130, "")
