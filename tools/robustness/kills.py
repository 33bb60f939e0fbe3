"""Kills commands with SIGKILL at seeded moments, and compares what they come to with an uninterrupted run.

    python tools/robustness/kills.py --kills 20 --seed 0

So many kills of each command: pre-training in several settings, packing, linear and kNN evaluation, fine-tuning,
tables and export. After each kill, every file with a final name must be whole; at the end, weights, optimiser, packed
images, tables and exported weights must equal those of the uninterrupted run to the bit (status 1 otherwise).
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from commands import ROOT, Command, commands

from otcxr_mm.utils.checkpoints import load_checkpoint
from tests.journeys.conftest import HEAVY, Otcxr


def check_whole(folder: Path) -> None:
    """Reads every file that has a final name, but logs; raises an error for one that is not whole."""
    for path in (path for path in folder.rglob("*.*") if path.is_file() and path.parent.name != "vis_data"):
        if path.suffix == ".pth":
            load_checkpoint(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".npz":
            with np.load(path) as archive:
                dict(archive)


class Starter:
    """Starts commands: in forks of one process, or several by torchrun."""

    def __init__(self, folder: Path) -> None:
        from multiprocessing import forkserver

        forkserver.set_forkserver_preload(list(HEAVY))
        self.otcxr = Otcxr(folder)
        self.otcxr("list-cfg", check=True)  # imports what the others need
        self.env = {"TINY_DATA": folder / "inputs" / "images", "OMP_NUM_THREADS": 1}

    def __call__(self, command: Command, folder: Path, again: bool) -> tuple[int, Callable[[float], int | None]]:
        """Starts it; returns the number of its process group, and a function that waits for its status."""
        argv = [str(word) for word in command.start(folder)]
        at = argv.index("--cfg-options") if "--cfg-options" in argv else len(argv)
        argv[at:at] = command.again if again else []
        if command.processes == 1:
            run = self.otcxr.start(*argv, env=self.env)
            return run.pid, lambda seconds: (run.process.join(seconds), run.status)[1]
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
        env = {**os.environ, **{key: str(value) for key, value in self.env.items()}, "PYTHONPATH": str(ROOT)}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT, "env": env}
        process = subprocess.Popen([*torchrun, "otcxr_mm", *argv], start_new_session=True, **quiet)

        def wait(seconds: float) -> int | None:
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                return None

        return process.pid, wait


def try_command(name: str, command: Command, start: Starter, folder: Path, kills: int, draw: random.Random) -> int:
    """Runs it whole, then kills and continues it; returns how often it was killed, and raises an error for a fault."""
    begun = time.monotonic()
    if start(command, folder / "whole", False)[1](300) != 0:
        raise RuntimeError(f"{name}: the uninterrupted run failed")
    length, expected = time.monotonic() - begun, command.result(folder / "whole")
    killed = attempt = 0
    while killed < kills:
        attempt += 1
        place, again, status = folder / str(attempt), False, None
        while status is None:
            group, wait = start(command, place, again)
            status = wait(draw.uniform(0.05, 1) * length if killed < kills else 300)
            if status is None:
                descendants = _descendants(group)
                for process in (group, *descendants):
                    _kill(process)
                wait(60)
                killed, again = killed + 1, True
                check_whole(place)
        if status != 0 or command.result(place) != expected:
            raise RuntimeError(f"{name}: status {status}, or another result, after {killed} kills in {place}")
        check_whole(place)
    return killed


def _descendants(process: int) -> list[int]:
    """Numbers of a process's children, and theirs."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False)
    children = [int(number) for number in listed.stdout.split()]
    return [*children, *(each for child in children for each in _descendants(child))]


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def main() -> int:
    """Tries each command, and prints how often it was killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each command; default 20")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of commands; default: all")
    args = parser.parse_args()
    faults, counts = [], {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        start = Starter(folder)
        for name, command in commands(folder / "inputs").items():
            if args.only and name not in args.only:
                continue
            try:
                draw = random.Random(f"{args.seed} {name}")
                counts[name] = try_command(name, command, start, folder / name, args.kills, draw)
            except (RuntimeError, ValueError, OSError) as error:
                faults.append(f"{name}: {error}")
            print(*faults[-1:], f"{name}: {counts.get(name, 'FAULT')} kills", flush=True)
    print("\n".join(faults))
    print(json.dumps({"kills": counts, "total": sum(counts.values()), "faults": len(faults), "seed": args.seed}))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
