"""Compares readings of the method, and other methods, by pre-training on real radiographs: a queue of resumable runs.

    python tools/benchmarks/methods.py run QUEUE       # trains and evaluates what is not recorded yet
    python tools/benchmarks/methods.py table QUEUE     # prints what was measured, as Markdown
    python tools/benchmarks/methods.py compare QUEUE   # intervals of its methods over seeds, by bootstrap over patients
    python tools/benchmarks/methods.py publish NAME    # makes a run of the queue published weights of the model zoo

The radiographs are in the folder OTCXR_DATA (default ../shared/data); working files go to work_dirs/methods. Each
finished run is a line of docs/results/runs/QUEUE.jsonl. A run that is recorded there with the same config is skipped;
a run that was killed resumes from its last checkpoint.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time

# heavy modules are imported by the command that needs them
from method_screen.queues import QUEUES


def run_queue(queue: str, only: str, jobs: int | None, again: bool) -> int:
    """Runs what is missing; returns how many runs failed.

    Args:
        queue: Its name.
        only: Regular expression that a run's name must match.
        jobs: Runs at a time; None: one for each core, and one on a GPU.
        again: Evaluate again what is recorded, instead of running what is missing.
    """
    import torch
    from method_screen.execute import pack
    from method_screen.records import record_of

    matching = [name for name in QUEUES[queue] if re.search(only, name)]
    if not matching:
        raise SystemExit(f"--only {only}: no run of the queue {queue} matches; there are {', '.join(QUEUES[queue])}")
    todo = [name for name in matching if (record_of(queue, name) is not None) == again]
    print(f"{queue}: {len(todo)} of {len(QUEUES[queue])} runs to do", flush=True)
    for sizes in {QUEUES[queue][name].sizes for name in todo}:
        pack(sizes)
    jobs = jobs or (1 if torch.cuda.is_available() else os.cpu_count() or 1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the runs below must not outlive this process
    running: dict[subprocess.Popen, tuple[str, float]] = {}
    failed = 0
    try:
        while todo or running:
            while todo and len(running) < jobs:
                name = todo.pop(0)
                running[_start(queue, name, jobs)] = (name, time.time())
            time.sleep(0.5)
            for process in [p for p in running if p.poll() is not None]:
                failed += process.returncode != 0
                _say(queue, *running.pop(process), process.returncode)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    return failed


def _start(queue: str, name: str, jobs: int) -> subprocess.Popen:
    """Starts a run in a process of its own; its output goes to a log file."""
    from method_screen.records import ROOT, work_folder

    threads = os.environ.get("OMP_NUM_THREADS", max(1, (os.cpu_count() or 1) // jobs))
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
    log = work_folder() / queue / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w") as stream:
        command = [sys.executable, os.path.abspath(__file__), "one", queue, name]
        return subprocess.Popen(command, env=env, stdout=stream, stderr=stream, cwd=ROOT)


def _say(queue: str, name: str, start: float, status: int) -> None:
    """Prints how a run ended."""
    from method_screen.records import recorded, work_folder
    from method_screen.report import COLUMNS

    if status:
        print(f"{name}: failed, see {work_folder() / queue / name}.log", flush=True)
        return
    val = recorded(queue)[name]["val"]
    shown = " ".join(f"{k} {val[k]:.3f}" for k in COLUMNS if k in val)
    print(f"{name}: {time.time() - start:.0f} s; {shown}", flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train and evaluate what is not recorded yet")
    one = commands.add_parser("one", help="one run, in this process")
    show = commands.add_parser("table", help="print what was measured")
    intervals = commands.add_parser("compare", help="intervals of the methods of a queue, over seeds")
    publishing = commands.add_parser("publish", help="make a run weights of the model zoo")
    publishing.add_argument("name")
    for command in (run, one, show):
        command.add_argument("queue", choices=QUEUES)
    intervals.add_argument("queue", choices=("confirm", "scratch"))
    run.add_argument("--only", default="", metavar="REGEX", help="runs whose name matches")
    run.add_argument("--evaluate-again", action="store_true", help="evaluate finished runs again")
    run.add_argument("--jobs", type=int, help="runs at a time; default: one for each core, and one on a GPU")
    one.add_argument("name")
    show.add_argument("--split", default="val", choices=("val", "test"))
    args = parser.parse_args()
    if args.command == "run":
        raise SystemExit(run_queue(args.queue, args.only, args.jobs, args.evaluate_again))
    if args.command == "one":
        from method_screen.execute import execute

        execute(args.queue, args.name)
    elif args.command == "table":
        from method_screen.report import table

        print(table(args.queue, args.split))
    elif args.command == "publish":
        from method_screen.publish import publish

        print(f"{publish(args.name)}: written")
    else:
        from method_screen.report import compare

        compare(args.queue)


if __name__ == "__main__":
    main()
