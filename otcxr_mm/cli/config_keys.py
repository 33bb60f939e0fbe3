"""Finds keys of a config file that nothing reads: misspelt ones, and variables that the bases have already used."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from inspect import signature

# read by MMEngine, besides the arguments of its Runner
_MMENGINE = (
    "activation_checkpointing",
    "compile",
    "custom_imports",
    "efficient_conv_bn_eval",
    "find_unused_parameters",
    "model_wrapper_cfg",
    "resource_limit",
    "runner_type",
    "strategy",
    "sync_bn",
)
_OURS = ("method", "protocol")


def known_keys() -> set[str]:
    """The top-level keys of a config that something reads."""
    from mmengine.runner import Runner

    return {*signature(Runner.__init__).parameters, *_MMENGINE, *_OURS} - {"self", "cfg"}


def check_file(path: str, cfg: Mapping) -> list[str]:
    """Looks for keys of a config file, not of its bases, that nothing reads.

    Args:
        path: The file.
        cfg: What MMEngine made of it.

    Returns:
        Warnings.

    Raises:
        SystemExit: For a key that is close to one that is read, or whose value differs from the one in use.
    """
    from mmengine.config import Config

    found = []
    for name, place in _unused(path):
        source, value = f"{path}{place}", cfg.get(name)
        near = get_close_matches(name, known_keys(), 1, 0.8)
        if near:
            raise SystemExit(f"{source}: nothing reads {name!r}: did you mean {near[0]}?")
        if problem := unread(cfg, name, value):
            # a run's copy of its config has helpers of the bases beside values of the command line
            if name != "seed" and not Config._get_base_files(path):
                found.append(f"{source}: {problem}")
                continue
            raise SystemExit(f"{source}: {problem}")
        plain = not isinstance(value, (Mapping, list, tuple))
        if any(_holds(used, value) for key, used in _leaves(cfg) if not plain or key.endswith(f".{name}")):
            continue  # a helper that agrees with what is used
        inherited = _inherited(path)
        if name in inherited:
            places = [key for key, used in _leaves(inherited) if used == inherited[name]]
            where = f": set {' and '.join(places[:3])}" if places else ""
            raise SystemExit(f"{source}: {name} has no effect here, because the bases have already used it{where}")
        # a flat copy of a config has the helpers of its bases
        if inherited or plain:
            last = {key.rpartition(".")[2]: key for key, _ in _leaves(cfg)}
            near = get_close_matches(name, last, 1, 0.85)
            found.append(f"{source}: nothing reads {name!r}" + (f": did you mean {last[near[0]]}?" if near else ""))
    return found


def unread(cfg: Mapping, name: str, value: object) -> str | None:
    """What to set instead of a top-level key that nothing reads, if another value is in use.

    Args:
        cfg: The whole config.
        name: The key.
        value: What it was set to.
    """
    if name == "seed":
        return f"nothing reads seed: write randomness=dict(seed={value})"
    places = [(key, used) for key, used in _leaves(cfg) if key.rpartition(".")[2] == name]
    if isinstance(value, (Mapping, list, tuple)) or not places or any(used == value for _, used in places):
        return None
    where = " and ".join(key for key, _ in places[:3])
    return f"nothing reads {name} at the top level: set {where} (now {places[0][1]!r:.60})"


def _holds(used: object, value: object) -> bool:
    """Whether a value is used, either as it is or unpacked with `**` among others."""
    if isinstance(used, Mapping) and isinstance(value, Mapping):
        return all(key in used and used[key] == item for key, item in value.items())
    return used == value


def _leaves(cfg: Mapping | Sequence, path: str = "") -> Iterator[tuple[str, object]]:
    """Dotted keys below the top level, and their values, including dicts and lists."""
    for key, value in cfg.items() if isinstance(cfg, Mapping) else enumerate(cfg):
        name = f"{path}.{key}" if path else str(key)
        if path:
            yield name, value
        if isinstance(value, (Mapping, list, tuple)):
            yield from _leaves(value, name)


def _unused(path: str) -> list[tuple[str, str]]:
    """Names that a file sets at its top level and that nothing reads, and where it sets them."""
    from mmengine.config import Config
    from mmengine.fileio import load

    if not path.endswith(".py"):
        return [(name, "") for name in load(path) if name not in known_keys() and not name.startswith("_")]
    if Config._is_lazy_import(path):
        return []
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    # {{$VARIABLE:default}} is replaced before Python reads the file
    tree = ast.parse(re.sub(r"\{\{[^{}\n]*\}\}", "0", text))
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    lines: dict[str, int] = {}
    for statement in tree.body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)):
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    lines[node.id] = node.lineno
    passed = read | known_keys()
    return [(name, f", line {at}") for name, at in lines.items() if name not in passed and not name.startswith("_")]


def _inherited(path: str) -> dict:
    """The merged bases of a file."""
    from mmengine.config import Config

    merged: dict = {}
    for base in Config._get_base_files(path):
        base_path, _ = Config._get_cfg_path(base, path)
        merged.update(Config.fromfile(base_path)._cfg_dict)
    return merged
