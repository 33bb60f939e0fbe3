"""The steps of the probe that look at a config: read it, look up its names, build its model."""

from __future__ import annotations

import ast
import copy
import os

# what the runner builds; helper variables of a config stand in these again
BUILT = [
    "model",
    "data_preprocessor",
    "train_dataloader",
    "val_dataloader",
    "test_dataloader",
    "train_cfg",
    "val_cfg",
    "test_cfg",
    "optim_wrapper",
    "param_scheduler",
    "val_evaluator",
    "test_evaluator",
    "default_hooks",
    "custom_hooks",
    "visualizer",
    "model_wrapper_cfg",
    "log_processor",
]
_OF_CHECKPOINTS = ("type", "interval", "by_epoch", "max_keep_ckpts", "save_best", "save_last", "save_optimizer")
_OF_LOOP = ("max_epochs", "max_iters", "val_begin", "val_interval")
_FOLDERS = ("data_root", "ann_file", "img_prefix", "mask_prefix", "data_prefix", "split_file", "packed", "header_file")


def read(name: str, state: dict) -> dict:
    """Reads the config, as MMEngine does, with its bases and imports."""
    from mmengine.config import Config

    try:
        cfg = state["cfg"] = Config.fromfile(state["config"])
    except SyntaxError:
        _check_syntax(state["config"])  # MMEngine does not say in which file
        raise
    hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    train = cfg.get("train_cfg") or {}
    wrapper = cfg.get("optim_wrapper") or {}
    optimizer = wrapper.get("optimizer") or {}
    loaders = {key: cfg.get(f"{key}_dataloader") or {} for key in ("train", "val", "test")}
    return {
        "scope": cfg.get("default_scope") or "mmengine",
        "work_dir": cfg.get("work_dir"),
        "out_dir": hook.get("out_dir"),
        "names": list(_names(cfg)),
        "data": list(_data(cfg)),
        "checkpoints": list(_checkpoints(cfg)),
        "hook": {name: hook[name] for name in _OF_CHECKPOINTS if name in hook},
        "loop": _plain(train.get("type")) or ("EpochBasedTrainLoop" if train.get("by_epoch") else "IterBasedTrainLoop"),
        "train": {name: train[name] for name in _OF_LOOP if isinstance(train.get(name), int)},
        "validated": cfg.get("val_dataloader") is not None,
        "exports": any("ExportBackboneHook" in _plain(found.get("type")) for found, _, _ in _hooks(cfg)),
        "optimizer": optimizer.get("type") if isinstance(optimizer.get("type"), str) else "",
        "momentum": bool(optimizer.get("momentum")),
        "workers": max([int(loader.get("num_workers") or 0) for loader in loaders.values()], default=0),
        "batch_size": loaders["train"].get("batch_size"),
    }


def _plain(kind: object) -> str:
    """A `type=` without its scope."""
    return kind.split(".")[-1] if isinstance(kind, str) else getattr(kind, "__name__", "")


def _hooks(cfg: dict) -> object:
    for key in ("default_hooks", "custom_hooks"):
        yield from _walk(cfg.get(key), key, None)


def _check_syntax(path: str) -> None:
    """Raises the SyntaxError of a config or of one of its bases, with the name of the file."""
    with open(path, encoding="utf-8") as stream:
        tree = ast.parse(stream.read(), path)
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_base_":
            bases = ast.literal_eval(node.value)
            for base in [bases] if isinstance(bases, str) else bases:
                if os.path.isfile(os.path.join(os.path.dirname(path), base)):
                    _check_syntax(os.path.join(os.path.dirname(path), base))


def types(name: str, state: dict) -> dict:
    """Looks up every `type=` in the scope in which it stands."""
    from mmengine.registry import init_default_scope

    from .probe import lookup

    cfg = state["cfg"]
    init_default_scope(cfg.get("default_scope") or "mmengine")
    known, failures = {}, []
    for place, key, scope in _names(cfg):
        if (key, scope) not in known:
            known[key, scope] = lookup(key, scope)
        if known[key, scope]:
            failures.append({"place": place, "name": key, "scope": scope, "error": known[key, scope]})
    return {"count": len(known), "failures": failures}


def build(name: str, state: dict) -> dict:
    """Builds the model, without weights and without network, and counts it."""
    from mmengine.registry import MODELS

    spec = copy.deepcopy(state["cfg"].get("model"))
    if spec is None:
        return {"parameters": 0}
    _offline(spec)
    model = MODELS.build(spec)
    parameters = list(model.parameters())
    return {
        "parameters": sum(p.numel() for p in parameters),
        "bytes": _bytes(model),
        "backbone_bytes": _bytes(model.backbone) if hasattr(model, "backbone") else 0,
        "trained_bytes": sum(p.numel() * p.element_size() for p in parameters if p.requires_grad),
    }


def tables(name: str, state: dict) -> dict:
    """Reads the tables of this package's data sets, but no image: place in the config to the file that is missing."""
    from otcxr_mm.datasets import BaseCXRDataset
    from otcxr_mm.registry import DATASETS

    missing = {}
    for key in ("train_dataloader", "val_dataloader", "test_dataloader"):
        for found, place, _ in _walk(state["cfg"].get(key), key, None):
            kind = DATASETS.get(found["type"]) if isinstance(found.get("type"), str) else None
            is_drawn = _plain(found.get("type")) == "SyntheticCXR"
            if not isinstance(kind, type) or not issubclass(kind, BaseCXRDataset) or is_drawn:
                continue
            given = {k: v for k, v in found.items() if k not in ("type", "pipeline", "packed", "_scope_")}
            try:
                kind(**{**given, "lazy_init": True, "check_files": False}).load_records()
            except FileNotFoundError as error:
                missing[place] = str(error)
            except Exception:  # nothing is missing; training, or otcxr stats, names what is wrong
                continue
    return {"missing": missing}


def _bytes(module: object) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def _offline(value: object) -> None:
    """Takes out what would fetch weights when the model is built."""
    if isinstance(value, dict):
        if value.get("pretrained") and "type" in value:
            value["pretrained"] = False if value["pretrained"] is True else None
        for child in value.values():
            _offline(child)
    elif isinstance(value, (list, tuple)):
        for child in value:
            _offline(child)


def _walk(value: object, place: str, scope: str | None) -> object:
    """Every dict below a value, with its place in the config and the `_scope_` in force."""
    if isinstance(value, dict):
        scope = value.get("_scope_", scope)
        yield value, place, scope
        for key, child in value.items():
            yield from _walk(child, f"{place}.{key}", scope)
    elif isinstance(value, (list, tuple)):
        for index, child in enumerate(value):
            yield from _walk(child, f"{place}.{index}", scope)


def _names(cfg: dict) -> object:
    for key in BUILT:
        for found, place, scope in _walk(cfg.get(key), key, None):
            # a list of types, or a class itself, is taken as it is
            if isinstance(found.get("type"), str):
                yield place, found["type"], scope


def _data(cfg: dict) -> object:
    for key in ("train_dataloader", "val_dataloader", "test_dataloader"):
        for found, place, _ in _walk(cfg.get(key), key, None):
            if any(isinstance(found.get(name), (str, dict)) and found[name] for name in _FOLDERS):
                paths = {name: found[name] for name in _FOLDERS if isinstance(found.get(name), (str, dict))}
                yield {**paths, "place": place, "type": str(found.get("type"))}


def _checkpoints(cfg: dict) -> object:
    if isinstance(cfg.get("load_from"), str):
        yield "load_from", cfg["load_from"]
    for key in ("custom_hooks", "default_hooks", "model"):
        for found, place, _ in _walk(cfg.get(key), key, None):
            if isinstance(found.get("checkpoint"), str):
                yield f"{place}.checkpoint", found["checkpoint"]
