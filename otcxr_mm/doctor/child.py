"""Starts the probe in a process of its own, so that a crash or a hang in it is a finding."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

# the modules of the process that asks, found where it finds them
_START = (
    "import sys, json; a = json.loads(sys.argv[1]); sys.path[:] = a['path']; from otcxr_mm.doctor import probe; "
    "probe.main(a)"
)
STEPS_OF_CONFIG = ("config", "types", "model", "tables")
_KEPT = 65536
_RESTARTS = 3


@dataclass
class Probe:
    """What the probe found out.

    Attributes:
        steps: Name of a step to what it gave: ``{"ok": True, ...}``, ``{"ok": False, "error": {...}}``,
            ``{"skipped": STEP}`` or ``{"died": SIGNAL OR "", "frame": ...}``.
        seconds: How long it took.
    """

    steps: dict = field(default_factory=dict)
    seconds: float = 0.0

    def good(self, step: str) -> dict | None:
        """What a step gave, if it went well."""
        found = self.steps.get(step)
        return found if found and found.get("ok") else None


def run_probe(request: dict, timeout: float, absent: list) -> Probe:
    """Runs all steps; one that crashes or hangs is left out when the rest is tried again.

    Args:
        request: ``modules`` to import, ``config`` to read or None.
        timeout: Seconds that one step may take.
        absent: Modules that are not installed: what needs them is left out.
    """
    probe, dead, start = Probe(), list(absent), time.monotonic()
    for _ in range(_RESTARTS + 1):
        died = _run_once({**request, "skip": dead}, timeout, probe)
        if died is None:
            break
        dead.append(died)
    probe.seconds = time.monotonic() - start
    return probe


def _run_once(request: dict, timeout: float, probe: Probe) -> str | None:
    """One process; returns the step at which it died."""
    read, write = os.pipe()
    request = {**request, "fd": write, "path": sys.path}
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", _START, json.dumps(request)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(write,),
        start_new_session=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    os.close(write)
    lines, noise, current, hung = b"", b"", "start", False
    began = time.monotonic()
    with selectors.DefaultSelector() as selector, os.fdopen(read, "rb", 0) as results:
        selector.register(results, selectors.EVENT_READ, "results")
        selector.register(process.stdout, selectors.EVENT_READ, "noise")
        while selector.get_map():
            left = timeout - (time.monotonic() - began)
            if left <= 0:
                hung = True
                noise += _stop(process)
                break
            for key, _ in selector.select(min(left, 0.5)):
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.data == "noise":
                    noise = (noise + chunk)[-_KEPT:]
                else:
                    lines += chunk
                    *whole, lines = lines.split(b"\n")
                    for line in whole:
                        current, began = _take(json.loads(line), probe), time.monotonic()
            # what the probe started may hold the pipes open
            if process.poll() is not None and not selector.select(0):
                break
    process.stdout.close()
    status = process.wait()
    if current == "end" and not hung:
        return None
    name = "" if hung else _signal(status)
    text = noise.decode("utf-8", "replace")
    frame = _frame(text, current not in STEPS_OF_CONFIG)
    probe.steps[current] = {"died": name, "hung": hung, "frame": frame, "tail": _tail(text), "timeout": timeout}
    return current if current != "start" else None


def _take(line: dict, probe: Probe) -> str:
    """Files a line of the probe; returns the step that runs now."""
    if "begin" in line:
        return line["begin"]
    name = line.pop("step")
    if not (line.get("skipped") and "died" in probe.steps.get(name, {})):
        probe.steps[name] = line
    return name


def _stop(process: subprocess.Popen) -> bytes:
    """Ends a process that hangs; SIGABRT makes faulthandler say where."""
    for number, patience in ((signal.SIGABRT, 2.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break
    os.set_blocking(process.stdout.fileno(), False)
    return process.stdout.read(_KEPT) or b""


def _signal(status: int) -> str:
    """Name of the signal that ended a process, or its exit status."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _frame(text: str, of_package: bool) -> str:
    """The innermost frame of faulthandler's report; if asked, the innermost that is of an installed package."""
    frames = [f for f in re.findall(r'File "([^"]+)", line (\d+) in (.+)', text) if not f[0].startswith("<frozen")]
    installed = [f for f in frames if of_package and "-packages" in f[0]]
    for file, line, function in installed or frames:
        return f"{file}, line {line}, in {function.strip()}"
    return ""


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("File ")]
    return lines[-1][:300] if lines else ""
