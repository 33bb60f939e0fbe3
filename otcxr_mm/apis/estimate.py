"""Whether a training fits, and how long it takes, from a few of its iterations: `tools/train.py CONFIG --estimate`."""

import json
import os
import statistics
import tempfile
from copy import deepcopy

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, get_world_size, is_main_process
from mmengine.runner import Runner

from ..datasets.audit import markdown
from ..doctor.disk import cannot_write
from ..doctor.files import bytes_of_files, units_of
from ..doctor.finding import size_text
from ..engine.model import bare_model
from ..engine.runner.frozen import FrozenEvalLoop
from ..fileio import write_whole
from . import machine
from .launch import build_runner
from .measure import Measured, mean, measure, now

WAITING = 0.3  # share of the time from which on the loader is named as what one waits for


def estimate(cfg: Config, out: str | None = None) -> bool:
    """Measures a few iterations of the training that a config asks for, prints what it will need, and says if it fits.

    The run is built as training builds it, in a temporary work dir, without trackers. Nothing is written elsewhere.

    Args:
        cfg: As training gets it, with its work dir.
        out: JSON file for the figures.

    Returns:
        Whether memory and disk suffice; False after an out-of-memory, too.

    Raises:
        SystemExit: If the work dir or the folder of `out` cannot be written to, before anything is measured.
    """
    _check_folders(cfg, out)
    began, runner = now(), None
    with tempfile.TemporaryDirectory(prefix="otcxr_estimate_") as folder:
        notes: list[str] = []
        try:
            runner = build_runner(_detached(cfg, folder, notes))
            measured = measure(runner, began)
        except (MemoryError, RuntimeError) as error:
            if not machine.out_of_memory(error):
                raise
            if runner is None:
                print("DOES NOT FIT: out of memory before the first batch: a smaller model, or a device with more free")
                return False
            batch = cfg.train_dataloader.batch_size
            less = f"train_dataloader.batch_size={max(1, batch // 2)}" if batch > 1 else "smaller images"
            print(f"DOES NOT FIT: out of memory with train_dataloader.batch_size={batch}: try {less}, or --amp")
            return False
        report = _report(cfg, runner, measured, notes)
    if is_main_process():
        print(text(report))
        if out is not None:
            write_whole(out, (json.dumps(report, indent=2) + "\n").encode())
    verdict = [report["fits"]]
    broadcast_object_list(verdict)
    return verdict[0]


def _detached(cfg: Config, folder: str, notes: list[str]) -> Config:
    """The config of the same run that leaves nothing: other work dir, no trackers, no checkpoints of its own."""
    cfg = deepcopy(cfg)
    cfg.work_dir, cfg.log_level, cfg.resume = folder, "WARNING", False
    cfg.visualizer = dict(type="mmengine.Visualizer")
    hooks = cfg.get("default_hooks") or {}
    if hooks.get("checkpoint"):
        hooks.checkpoint.update(interval=-1, save_last=False, save_best=None, out_dir=None)
    if hooks.get("logger"):
        hooks.logger.pop("out_dir", None)
    kept = []
    for hook in cfg.get("custom_hooks") or []:
        name = str(hook.get("type")).split(".")[-1] if isinstance(hook, dict) else ""
        if name == "LoadBackboneHook" and hook.get("checkpoint") and not os.path.isfile(hook["checkpoint"]):
            notes.append(f"{hook['checkpoint']} is not there yet: measured with random weights")
            hook = {**hook, "checkpoint": None}
        if name != "ProgressBarHook":
            kept.append(hook)
    cfg.custom_hooks = kept
    return cfg


def _files(cfg: Config, found: Measured, frozen: bool) -> dict[str, int]:
    """Bytes of what will lie in the work dir at most: name of a kind of file to bytes."""
    if frozen:
        return {"classifier": found.checkpoint, "features": found.features}
    hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    units = units_of(hook, found.epochs, found.iterations)
    return bytes_of_files(hook, units, found.validations, found.checkpoint, found.weights, found.backbone)[0]


def _checkpoint_folder(cfg: Config) -> str:
    """Where checkpoints go: `out_dir` of the hook unless it is somewhere in the network, else the work dir."""
    hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    out_dir = hook.get("out_dir")
    return out_dir if out_dir and "://" not in str(out_dir) else cfg.work_dir


def _check_folders(cfg: Config, out: str | None) -> None:
    """Ends the process where the run could not write, or its figures could not be: in all processes alike.

    Raises:
        SystemExit: With what cannot be written to, and what to do.
    """
    problem = ""
    if is_main_process():
        for folder in dict.fromkeys([cfg.work_dir, _checkpoint_folder(cfg)]):
            if not problem and (reason := cannot_write(folder)):
                problem = f"{folder}, where checkpoints go, cannot be written to: {reason}: another --work-dir"
        if not problem and out is not None:
            reason = "it is a folder" if os.path.isdir(out) else cannot_write(os.path.dirname(os.path.abspath(out)))
            problem = f"--estimate-out {out} cannot be written: {reason}: name another file" if reason else ""
    said = [problem]
    broadcast_object_list(said)
    if said[0]:
        raise SystemExit(f"--estimate: {said[0]}")


def _report(cfg: Config, runner: Runner, found: Measured, notes: list[str]) -> dict:
    """All figures as plain values; times in seconds, sizes in bytes."""
    loader, frozen = runner.train_dataloader, isinstance(runner.train_loop, FrozenEvalLoop)
    validation = found.val.total(len(runner.val_dataloader)) if found.val.compute else 0.0
    train = found.train.total(found.iterations, found.epochs) + found.epochs * found.epoch_end
    an_epoch = found.train.total(len(loader)) + found.epoch_end
    files = _files(cfg, found, frozen)
    free = machine.disk_free(_checkpoint_folder(cfg))
    needed = sum(files.values())
    problems = []
    if found.memory is not None and found.memory[0] > found.memory[1]:
        problems.append(
            f"memory: {size_text(found.memory[0])} are needed and {size_text(found.memory[1])} are there: a smaller "
            "train_dataloader.batch_size, fewer workers, or --amp on a GPU"
        )
    if needed > free:
        problems.append(
            f"disk: {size_text(needed)} are needed and {size_text(free)} are free at the work dir: "
            "another --work-dir, or fewer default_hooks.checkpoint.max_keep_ckpts"
        )
    waiting = found.train.waiting
    if waiting > WAITING:
        notes.append(
            f"the loader is what you wait for ({waiting:.0%} of the time): more workers (train_dataloader.num_workers, "
            f"now {loader.num_workers}; {machine.cores()} cores here), or prepare the images once with prepare_cxr"
        )
    if frozen:
        notes.append(
            "the head is fitted after that, which is not measured; features in the cache are not computed again"
        )
    model = bare_model(runner)
    return {
        "fits": not problems,
        "problems": problems,
        "notes": notes,
        "data": {
            "images": len(loader.dataset),
            "batch_size": loader.batch_sampler.batch_size,
            "processes": get_world_size(),
            "iterations_per_epoch": len(loader),
            "epochs": found.epochs,
            "iterations": found.iterations,
            "parameters": sum(p.numel() for p in model.parameters()),
        },
        "time": {
            "data": _spread(found.train.data or found.train.first),
            "compute": _spread(found.train.compute),
            "waiting": waiting,
            "measured_iterations": len(found.train.compute),
            "start": found.start,
            "epoch": an_epoch,
            "validation": validation,
            "validations": found.validations,
            "training": found.start + train + found.validations * validation,
        },
        "memory": None
        if found.memory is None
        else {
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
            "peak": found.memory[0],
            "available": found.memory[1],
            "batch_size_that_fits": found.batch_that_fits,
        },
        "disk": {"checkpoint": found.checkpoint, "files": files, "needed": needed, "free": free},
    }


def text(report: dict) -> str:
    """A report as people read it."""
    data, spent, memory, disk = report["data"], report["time"], report["memory"], report["disk"]
    processes = f" x {data['processes']} processes" if data["processes"] > 1 else ""
    rows = [
        ["images", f"{data['images']}, in batches of {data['batch_size']}{processes}"],
        [
            "length",
            f"{data['iterations']} iterations: {data['epochs']} epochs of {data['iterations_per_epoch']}",
        ],
        ["parameters", f"{data['parameters'] / 1e6:.2f} million"],
        ["waiting for data", _line(spent["data"])],
        ["computing", _line(spent["compute"])],
        ["an epoch", _duration(spent["epoch"])],
    ]
    if spent["validations"]:
        rows.append(["a validation", f"{_duration(spent['validation'])}, {spent['validations']} of them"])
    rows.append(["all of it", f"{_duration(spent['training'])}, of which {_duration(spent['start'])} to start"])
    if memory is not None:
        rows.append(
            ["memory at peak", f"{size_text(memory['peak'])} of {size_text(memory['available'])} ({memory['device']})"]
        )
        if memory["batch_size_that_fits"] is not None:
            rows.append(["largest batch", f"about {memory['batch_size_that_fits']} images on this device"])
    rows.append(["a checkpoint", size_text(disk["checkpoint"])])
    rows.append(["files at most", f"{size_text(disk['needed'])} of {size_text(disk['free'])} free"])
    lines = markdown(("estimate", f"from {spent['measured_iterations']} iterations"), rows)
    lines += [f"note: {note}" for note in report["notes"]]
    lines += [f"DOES NOT FIT: {problem}" for problem in report["problems"]] or ["it fits"]
    return "\n".join(lines)


def _spread(values: list[float]) -> dict[str, float]:
    """Median, mean, least and most."""
    if not values:
        return dict.fromkeys(("median", "mean", "min", "max"), 0.0)
    return {"median": statistics.median(values), "mean": mean(values), "min": min(values), "max": max(values)}


def _line(spread: dict[str, float]) -> str:
    return "{median:.3f} s an iteration (median; mean {mean:.3f}, {min:.3f} to {max:.3f})".format(**spread)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    for unit, length, most in (("min", 60, 6000), ("h", 3600, 172800)):
        if seconds < most:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds / 86400:.1f} days"
