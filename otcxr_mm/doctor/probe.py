"""The process that imports torch, MMEngine and the rest, and says after each step what came of it.

It writes a line of JSON before and after each step to a pipe of its own, as imports print what they like. A step that
ends the process is the one that has begun and not ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
import warnings
from importlib import import_module

# what a module's import cannot do without
NEEDS = {
    "sklearn": ("numpy",),
    "cv2": ("numpy",),
    "torchvision": ("torch",),
    "mmengine": ("numpy", "torch"),
    "mmcv": ("mmengine", "cv2", "torch", "numpy"),
    "mmpretrain": ("mmengine", "mmcv", "torch", "torchvision"),
    "otcxr_mm": ("mmengine", "torch", "numpy", "mmcv", "mmpretrain", "sklearn", "cv2"),
    "mmseg": ("mmengine", "mmcv", "torch", "torchvision"),
    "timm": ("torch", "torchvision"),
    "ot": ("numpy", "torch"),
    "mim": ("torch",),
    "torch facts": ("torch",),
    "registry": ("otcxr_mm",),
    "config": ("mmengine",),
    "types": ("config", "mmpretrain", "otcxr_mm"),
    "model": ("types",),
    "tables": ("types",),
}
# the part of a package that training imports
PARTS = {
    "sklearn": ("sklearn.metrics", "sklearn.linear_model"),
    "mmengine": ("mmengine", "mmengine.runner"),
    "mmcv": ("mmcv", "mmcv.transforms", "mmcv.cnn"),
    "mmpretrain": ("mmpretrain", "mmpretrain.models", "mmpretrain.datasets"),
    "mmseg": ("mmseg", "mmseg.registry", "mmseg.models"),
    "otcxr_mm": ("otcxr_mm.registry",),
}
# of MMPretrain and MMEngine, what our configs name
USED = [
    "AdamW",
    "BarlowTwins",
    "ConcatDataset",
    "CosineAnnealingLR",
    "DefaultSampler",
    "DistSamplerSeedHook",
    "GlobalAveragePooling",
    "ImageClassifier",
    "IterTimerHook",
    "LinearLR",
    "LocalVisBackend",
    "LoggerHook",
    "MultiLabelLinearClsHead",
    "NonLinearNeck",
    "OptimWrapper",
    "PackInputs",
    "ParamSchedulerHook",
    "RandomFlip",
    "ResNet",
    "Resize",
    "SGD",
    "SyncBuffersHook",
    "UniversalVisualizer",
    "default_collate",
]


def main(request: dict) -> None:
    """Runs all steps.

    Args:
        request: ``fd`` to write to, ``modules`` to import, ``config`` or None, ``skip``: steps that ended the process
            before.
    """
    import resource

    from . import probe_config

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    out = os.fdopen(request["fd"], "w", buffering=1)
    steps = [(name, _import) for name in request["modules"]]
    steps += [("torch facts", _torch_facts), ("registry", _registry)]
    if request.get("config"):
        steps += [("config", probe_config.read), ("types", probe_config.types)]
        steps += [("model", probe_config.build), ("tables", probe_config.tables)]
    failed, state = set(request["skip"]), {"config": request.get("config")}

    def say(**line: object) -> None:
        out.write(json.dumps(line, default=str) + "\n")
        out.flush()

    for name, step in steps:
        reason = name if name in failed else next((need for need in NEEDS.get(name, ()) if need in failed), None)
        if reason:
            failed.add(name)
            say(step=name, skipped=reason)
            continue
        say(begin=name)
        start = time.perf_counter()
        try:
            given = step(name, state) or {}
            say(step=name, ok=True, seconds=round(time.perf_counter() - start, 2), **given)
        except BaseException as error:  # SystemExit, too: packages call sys.exit when they are imported
            failed.add(name)
            say(step=name, ok=False, error=describe(error))
    say(begin="end")
    sys.stdout.flush()
    os._exit(0)  # what was imported may wait, or crash, when the interpreter ends


def describe(error: BaseException) -> dict:
    """An exception as plain data: type, message, last frame, and what caused it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith("<frozen")]
    frame = f"{own[-1].filename}, line {own[-1].lineno}, in {own[-1].name}" if own else ""
    if isinstance(error, SyntaxError) and error.filename:
        frame = f"{error.filename}, line {error.lineno}"
    causes, cause = [], error.__cause__ or error.__context__
    while cause is not None and len(causes) < 5:
        causes.append({"type": type(cause).__name__, "message": str(cause)[:2000]})
        cause = cause.__cause__ or cause.__context__
    return {
        "type": type(error).__name__,
        "message": str(error)[:4000],
        "frame": frame,
        "missing": getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None,
        "causes": causes,
    }


def _import(name: str, state: dict) -> dict:
    for part in PARTS.get(name, (name,)):
        module = import_module(part)
    module = sys.modules[name]
    return {"version": str(getattr(module, "__version__", "")), "file": getattr(module, "__file__", "") or ""}


def _torch_facts(name: str, state: dict) -> dict:
    import torch

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
        count = torch.cuda.device_count()
    try:
        torch.zeros(1).numpy()
        numpy = ""
    except Exception as error:
        numpy = str(error)
    distributed = torch.distributed.is_available()
    backends = [b for b in ("nccl", "gloo", "mpi") if distributed and getattr(torch.distributed, f"is_{b}_available")()]
    return {
        "cuda": torch.version.cuda,
        "hip": getattr(torch.version, "hip", None),
        "available": available,
        "count": count,
        "warnings": [str(w.message) for w in said],
        "architectures": torch.cuda.get_arch_list() if available else [],
        "numpy": numpy,
        "distributed": distributed,
        "backends": backends,
        "threads": torch.get_num_threads(),
    }


def _registry(name: str, state: dict) -> dict:
    """Looks up every registered class of ours, and what our configs use of the others, as a config would."""
    import otcxr_mm
    from otcxr_mm import registry as own

    failures, names = {}, []
    for module in otcxr_mm._PUBLIC:
        try:
            import_module(module)
        except BaseException as error:
            failures[module] = describe(error)
    from mmengine.registry import Registry

    for child in [r for r in vars(own).values() if isinstance(r, Registry)]:
        names += [f"{child.scope}.{key}" for key in child.module_dict]
    if not failures:
        names += USED
        for key in names:
            problem = lookup(key, "mmpretrain")
            if problem:
                failures[key] = problem
    return {"count": len(names), "failures": failures}


def lookup(key: str, scope: str | None) -> dict | None:
    """Looks a name up in all registries of MMEngine.

    Args:
        key: What stands behind `type=`.
        scope: The scope it stands in; None for the current default.

    Returns:
        None if it is found, else what was raised, as :func:`describe` gives it.
    """
    problem = None
    for registry in _roots():
        try:
            with registry.switch_scope_and_registry(scope) as current:
                if current.get(key) is not None:
                    return None
        except Exception as error:
            described = describe(error)
            # what an import raised says more than that the name was not found
            if problem is None or not str(error).startswith("Failed to get"):
                problem = described
    return problem or {"type": "KeyError", "message": f"{key} is in no registry", "frame": "", "causes": []}


def _roots() -> list:
    from mmengine import registry

    found = [value for value in vars(registry).values() if isinstance(value, registry.Registry)]
    usual = ("model", "dataset", "transform", "hook", "metric")
    return sorted(found, key=lambda r: usual.index(r.name) if r.name in usual else len(usual))
