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

from otcxr_mm.cli import train
from tests.conftest import ROOT, write_image

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
    return folder


def start(images, work_dir, *args, options=(), **env):
    command = [sys.executable, "tools/train.py", "tests/tiny.py", "--work-dir", str(work_dir), *args]
    command += ["--cfg-options", *options] if options else []
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "TINY_DATA": str(images), "OMP_NUM_THREADS": "1", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output[-4000:]
    return output


def final(work_dir):
    return torch.load(work_dir / "iter_24.pth", weights_only=True, map_location="cpu")


def read_until(process, iteration):
    """Reads the log up to an iteration (counted from 1 over all epochs), and returns it."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        found = re.search(r"Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/6\]", line)
        if found and (int(found[1]) - 1) * 6 + int(found[2]) >= iteration:
            return lines
    raise AssertionError(f"the run ended before iteration {iteration}:\n{''.join(lines[-40:])}")


@pytest.fixture(scope="module")
def uninterrupted(images, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("whole")
    output = finish(start(images, work_dir))
    assert "effective rank" in output
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


@pytest.mark.parametrize("workers", WORKERS)
def test_sigkill_then_resume_is_the_same_bit_for_bit(images, tmp_path, uninterrupted, workers):
    at = random.SystemRandom().randint(6, 15)
    print(f"killed after iteration {at}")
    process = start(images, tmp_path, options=WORKERS[workers])
    read_until(process, at)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "iter_24.pth").exists()
    output = finish(start(images, tmp_path, "--resume", options=WORKERS[workers]))
    resumed = re.search(r"resumed epoch: (\d+), iter: (\d+)", output)
    assert int(resumed[2]) % 5 == 0
    assert int(resumed[2]) > 0
    assert_same(final(tmp_path), uninterrupted)


@pytest.mark.parametrize(
    ("workers", "number"),
    [("no workers", signal.SIGTERM), ("2 persistent workers", signal.SIGTERM), ("2 workers", signal.SIGINT)],
)
def test_a_signal_saves_in_the_middle_of_an_epoch(images, tmp_path, uninterrupted, workers, number):
    options = ("default_hooks.checkpoint.interval=1000", *WORKERS[workers])
    process = start(images, tmp_path, options=options)
    read_until(process, 8)
    os.killpg(process.pid, number)  # as slurm and torchrun do: the loader's workers get it too
    rest = process.communicate(timeout=120)[0]
    assert process.returncode == 128 + number, rest[-3000:]
    saved = re.search(r"SIG[A-Z]+: saved (.*interrupted\.pth) at iteration (\d+); continue with --resume", rest)
    iteration = int(saved[2])
    assert iteration >= 8
    assert (tmp_path / "last_checkpoint").read_text() == saved[1]
    output = finish(start(images, tmp_path, "--resume", options=options))
    if iteration % 6:
        assert f"resumes after {iteration % 6} of 6 iterations" in output
    torch.testing.assert_close(
        torch.load(tmp_path / "backbone.pth", weights_only=True)["patch_embed.projection.weight"],
        uninterrupted["state_dict"]["backbone.patch_embed.projection.weight"],
        rtol=0,
        atol=0,
    )


def test_resume_without_a_checkpoint_starts_from_the_beginning(images, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TINY_DATA", str(images))
    short = ["train_cfg.max_epochs=1", "train_dataloader.batch_size=22"]
    train.main([str(ROOT / "tests" / "tiny.py"), "--work-dir", str(tmp_path), "--resume", "--cfg-options", *short])
    assert f"no checkpoint in {tmp_path} yet" in capsys.readouterr().out
    assert (tmp_path / "iter_1.pth").is_file()


def test_checkpoints_are_whole_or_not_there(tmp_path):
    """A process killed while it writes leaves the old file."""
    script = (
        "import sys, torch\n"
        "from otcxr_mm.engine.hooks.checkpoint import AtomicLocalBackend\n"
        "import io\n"
        "b = io.BytesIO(); torch.save({'x': torch.zeros(3_000_000)}, b)\n"
        "while True:\n"
        "    AtomicLocalBackend().put(b.getvalue(), sys.argv[1])\n"
        "    print('written', flush=True)\n"
    )
    target = tmp_path / "c.pth"
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE, cwd=ROOT)
        assert b"written\n" in iter(process.stdout.readline, b"")  # imports print lines of their own before it
        time.sleep(0.2 * random.random())
        process.kill()
        process.wait()
        assert torch.load(target, weights_only=True)["x"].shape == (3_000_000,)
