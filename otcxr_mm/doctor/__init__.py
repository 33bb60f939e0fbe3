"""`otcxr doctor`: what is wrong with the installation, or with what a config needs, and what to do about it.

Nothing that may fail to import is imported in this process. Python 3.8 can read this file, so that an old Python is
named instead of ending in a SyntaxError.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Iterator  # noqa: UP035  Python 3.8

TIMEOUT = 300.0  # seconds for all imports, and for reading a config and its data
MEMORY, DISK, SHARED_MEMORY = 2 * 2**30, 2**30, 512 * 2**20  # less than this much free is a problem

_PROBE = "import sys; sys.path[:] = eval(sys.argv[1]); from otcxr_mm.doctor.probe import main; main(sys.argv[2])"


@dataclass(frozen=True)
class Finding:
    """A problem, and the remedy; its name is a heading of docs/troubleshooting.md."""

    name: str
    problem: str
    remedy: str


def examine(config: str | None = None) -> tuple[dict[str, str], list[Finding]]:
    """Looks at Python, packages, imports, GPU, memory and disk, and at what a config needs.

    Args:
        config: Config file, or name of a config of this package; None for the installation alone.

    Returns:
        What is installed, by name, and the problems.
    """
    facts = {"Python": ".".join(map(str, sys.version_info[:3]))}
    if not (3, 10) <= sys.version_info[:2] <= (3, 14):
        problem = f"otcxr_mm runs on Python 3.10 to 3.14, this is {facts['Python']}; nothing else was checked"
        remedy = "create an environment with python3.13 -m venv .venv, or conda create -n otcxr python=3.13"
        return facts, [Finding("python-version", problem, remedy)]
    from .installed import examine_packages

    packages, findings = examine_packages()
    facts.update(packages)
    # a missing package explains every failure that would follow
    if not any(finding.name == "missing-package" for finding in findings):
        seen, found = _run_probe(config)
        facts.update(seen)
        findings += found
    return facts, [*findings, *_examine_machine(facts.pop("work_dir", "work_dirs"))]


def _run_probe(config: str | None) -> tuple[dict[str, str], list[Finding]]:
    """Imports packages and reads the config in a child process; a crash of it is a finding."""
    command = [sys.executable, "-c", _PROBE, repr(sys.path), config or ""]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False)
        out, errors, status = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        out, errors, status = late.stdout or b"", late.stderr or b"", None
    facts, findings, step = {}, [], "starting Python"
    for said in map(json.loads, out.decode().splitlines()):
        step = said.get("step", step)
        facts.update(said.get("facts", {}))
        findings += [Finding(*said["finding"])] if "finding" in said else []
    if step != "end":
        findings.append(_crash(step, status, errors.decode(errors="replace")))
    return facts, findings


def _crash(step: str, status: int | None, errors: str) -> Finding:
    if status is None:
        how = f"did not end within {TIMEOUT:.0f} s"
    elif status < 0:
        how = f"ended the process with {signal.Signals(-status).name}"
    else:
        how = f"ended the process with exit status {status}: {' '.join(errors.strip().splitlines()[-1:])}"
    remedy = "reinstall the package named: pip install --force-reinstall --no-deps NAME (SIGKILL: out of memory)"
    return Finding("crash", f"{step} {how}; what comes after it was not checked", remedy)


def _examine_machine(work_dir: str) -> Iterator[Finding]:
    from ..utils.machine import available_memory, cannot_write, nearest_folder, size_text

    memory = available_memory()
    if memory is not None and memory < MEMORY:
        problem = f"{size_text(memory)} of memory available, counting the limits of the container and the job"
        yield Finding("memory-low", problem, "end other programs or ask for more (docker --memory, slurm --mem)")
    shared = shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else SHARED_MEMORY
    if shared < SHARED_MEMORY:
        problem = f"{size_text(shared)} free in /dev/shm, through which the workers of a data loader pass batches"
        yield Finding("shm-small", problem, "docker run --shm-size=8g, or train_dataloader.num_workers=0")
    reason, free = cannot_write(work_dir), shutil.disk_usage(nearest_folder(work_dir)).free
    if reason:
        problem = f"the work dir {work_dir} cannot be written to: {reason}"
        yield Finding("work-dir", problem, "choose another --work-dir")
    elif free < DISK:
        yield Finding("disk-full", f"{size_text(free)} free at the work dir {work_dir}", "choose another --work-dir")


def _report(facts: dict[str, str], findings: list[Finding]) -> str:
    """The report as people read it, problems last."""
    lines = [f"{name:<24} {fact}" for name, fact in facts.items()]
    lines += [f"\nPROBLEM {found.name}: {found.problem}\n  -> {found.remedy}" for found in findings]
    count = f"{len(findings)} problem{'s' if len(findings) != 1 else ''}"
    return "\n".join([*lines, "", f"{count}; see docs/troubleshooting.md" if findings else count])


def main(argv: list[str] | None = None) -> int:
    """Prints the report; the exit status is 1 if there is a problem."""
    parser = argparse.ArgumentParser(prog="otcxr doctor", description="Find what is wrong, and say what to do.")
    parser.add_argument("config", nargs="?", help="config file or name: check what it needs, too")
    parser.add_argument("--json", action="store_true", help="versions and names of problems, without any path")
    args = parser.parse_args(argv)
    facts, findings = examine(args.config)
    if args.json:
        print(json.dumps({"versions": facts, "findings": [finding.name for finding in findings]}, indent=2))
    else:
        print(_report(facts, findings))
    return int(bool(findings))
