"""Findings about GPUs, driver and CUDA."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from .child import Probe
from .finding import error, note, ok, size_text, warning
from .supported import OLDEST_DRIVER, is_older

_BUSY = 0.1  # share of a GPU's memory that must be free


def examine_gpus(probe: Probe, needed_bytes: int = 0) -> list:
    """All findings of this file.

    Args:
        probe: What the child process gave.
        needed_bytes: What the config's model and optimiser take at least.
    """
    gpus, problem = ask_driver()
    facts = probe.good("torch facts")
    findings = []
    if problem:
        findings.append(
            error(
                "nvidia-smi-fails",
                f"nvidia-smi fails: {problem}",
                "the driver is not loaded, or was updated while it ran: ask the administrator to restart the machine; "
                "in a container, start it with access to the GPUs (docker run --gpus all)",
            )
        )
    elif not gpus:
        there = os.path.exists("/dev/nvidia0") or os.path.exists("/proc/driver/nvidia/version")
        findings.append(note("gpu", "a GPU, but no nvidia-smi" if there else "no GPU here: training runs on the CPU"))
    for gpu in gpus:
        free = f"{size_text(gpu['free'])} of {size_text(gpu['total'])} free"
        findings.append(ok("gpu", f"{gpu['index']}: {gpu['name']}, {free}, driver {gpu['driver']}"))
    if facts:
        findings += _torch(facts, gpus)
    visible = _visible(gpus)
    least = max(needed_bytes, 0)
    if visible and all(g["free"] < max(_BUSY * g["total"], least) for g in visible):
        most = max(g["free"] for g in visible)
        findings.append(
            warning(
                "gpu-busy",
                f"no visible GPU has enough free memory: at most {size_text(most)}"
                + (f", and the model and its optimiser alone take {size_text(least)}" if least > most else ""),
                "nvidia-smi shows who uses them; choose another with CUDA_VISIBLE_DEVICES, or wait",
            )
        )
    return findings


def ask_driver() -> tuple:
    """What `nvidia-smi` says: (list of GPUs, or what is wrong)."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return [], ""
    query = "index,name,memory.free,memory.total,driver_version,compute_cap"
    try:
        result = subprocess.run(
            [program, f"--query-gpu={query}", "--format=csv,noheader,nounits"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=20,
        )
    except subprocess.TimeoutExpired:
        return [], "no answer within 20 s"
    except OSError as failure:
        return [], str(failure)
    text = result.stdout.decode("utf-8", "replace").strip()
    if result.returncode:
        return [], re.sub(r"\s+", " ", text)[:300] or f"exit status {result.returncode}"
    gpus = []
    for row in text.splitlines():
        parts = [part.strip() for part in row.split(",")]
        if len(parts) == 6:
            index, name, free, total, driver, capability = parts
            free_bytes, total_bytes = (int(v) * 2**20 if v.isdigit() else 0 for v in (free, total))
            gpus.append(
                {
                    "index": index,
                    "name": name,
                    "free": free_bytes,
                    "total": total_bytes,
                    "driver": driver,
                    "capability": capability,
                }
            )
    return gpus, ""


def _visible(gpus: list) -> list:
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None or not all(part.strip().isdigit() for part in chosen.split(",")):
        return [] if chosen in ("", "-1") else gpus
    return [gpu for gpu in gpus if gpu["index"] in [part.strip() for part in chosen.split(",")]]


def _torch(facts: dict, gpus: list) -> list:
    cuda, chosen = facts["cuda"], os.environ.get("CUDA_VISIBLE_DEVICES")
    findings = [ok("cuda", f"torch is built {f'for CUDA {cuda}' if cuda else 'without CUDA'}")]
    if facts["available"]:
        findings.append(ok("cuda", f"torch sees {facts['count']} GPU{'s' if facts['count'] != 1 else ''}"))
        lacking = [g for g in _visible(gpus) if not _supports(facts["architectures"], g["capability"])]
        if lacking:
            gpu = lacking[0]
            findings.append(
                error(
                    "gpu-unsupported",
                    f"this torch has no kernels for {gpu['name']} (compute capability {gpu['capability']}): it has "
                    f"{', '.join(facts['architectures'])}",
                    "install a torch whose CUDA version still, or already, serves this GPU, with its torchvision",
                )
            )
        return findings
    if not gpus:
        return findings
    if chosen is not None and not _visible(gpus):
        findings.append(
            warning(
                "gpus-hidden",
                f"CUDA_VISIBLE_DEVICES={chosen!r} hides all {len(gpus)} GPUs: training would run on the CPU",
                "unset CUDA_VISIBLE_DEVICES, or set it to numbers that nvidia-smi lists",
            )
        )
    elif cuda is None and not facts["hip"]:
        findings.append(
            warning(
                "torch-without-cuda",
                "this machine has a GPU, but torch is built without CUDA: training would run on the CPU",
                "install torch and torchvision for CUDA, both in one command, from one index",
            )
        )
    else:
        findings.append(_unavailable(facts, gpus))
    return findings


def _unavailable(facts: dict, gpus: list) -> object:
    cuda, driver = facts["cuda"] or "", gpus[0]["driver"]
    major = int(cuda.split(".")[0]) if cuda[:1].isdigit() else 0
    oldest = OLDEST_DRIVER.get(major)
    said = f" ({facts['warnings'][0].strip().splitlines()[0][:300]})" if facts["warnings"] else ""
    if oldest and is_older(driver, oldest):
        runs = [m for m, needed in OLDEST_DRIVER.items() if not is_older(driver, needed)]
        return error(
            "driver-old",
            f"the driver {driver} is too old for torch's CUDA {cuda}, which needs {oldest}{said}",
            f"have the driver updated to {oldest} or newer"
            + (f", or install torch and torchvision built for CUDA {max(runs)}" if runs else ""),
        )
    return error(
        "cuda-unavailable",
        f"nvidia-smi lists {len(gpus)} GPUs, but torch (CUDA {cuda}) cannot use them{said}",
        "in a container, start it with access to the GPUs; after an update of the driver, restart the machine; "
        "under slurm, ask for a GPU (--gres=gpu:1)",
    )


def _supports(architectures: list, capability: str) -> bool:
    """Whether kernels for a compute capability are there: of the same major version and not newer, or PTX."""
    numbers = re.findall(r"\d+", capability)
    if not architectures or len(numbers) < 2:
        return True
    major, minor = int(numbers[0]), int(numbers[1])
    for name in architectures:
        kind, _, digits = name.partition("_")
        digits = re.sub(r"\D", "", digits)
        if len(digits) < 2:
            continue
        have = int(digits[:-1]), int(digits[-1])
        if kind == "compute" and have <= (major, minor):
            return True
        if kind == "sm" and have[0] == major and have[1] <= minor:
            return True
    return False
