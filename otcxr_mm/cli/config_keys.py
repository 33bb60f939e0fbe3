"""Finds keys of a config that have no effect: misspelt ones, and variables that the bases have already used."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from inspect import signature

from mmengine.config import Config
from mmengine.runner import Runner

# read by MMEngine besides the arguments of its Runner, and by this package
_OTHERS = """
    activation_checkpointing compile custom_imports efficient_conv_bn_eval find_unused_parameters model_wrapper_cfg
    resource_limit runner_type strategy sync_bn method protocol
"""
KNOWN = {*signature(Runner.__init__).parameters, *_OTHERS.split()} - {"self", "cfg"}


def check_file(path: str, cfg: Config) -> None:
    """Looks for keys of a Python config, not of its bases, that nothing reads.

    Args:
        path: The file.
        cfg: What MMEngine made of it.

    Raises:
        SystemExit: For a key that is close to one that is read; in a config with bases, also for a key whose value
            differs from the one in use, and for a variable that the bases have already used.
    """
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    if not path.endswith(".py") or Config._is_lazy_import(path):
        return
    # {{$VARIABLE:default}} is replaced before Python reads the file
    tree = ast.parse(re.sub(r"\{\{[^{}\n]*\}\}", "0", text))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    read = KNOWN | {node.id for node in names if isinstance(node.ctx, ast.Load)}
    lines = {node.id: node.lineno for node in names if isinstance(node.ctx, ast.Store)}
    for name in (name for name in lines if name not in read and not name.startswith("_")):
        problem = None
        if near := get_close_matches(name, KNOWN, 1, 0.8):
            problem = f"nothing reads {name!r}: did you mean {near[0]}?"
        elif "_base_" in lines:  # a flat copy has the helpers of its bases
            problem = overridden(cfg, name, cfg.get(name), len(re.findall(rf"^{name}\s*=", cfg.text, re.M)) > 1)
        if problem:
            raise SystemExit(f"{path}, line {lines[name]}: {problem}")


def overridden(cfg: Config, name: str, value: object, inherited: bool) -> str | None:
    """Says what to set instead of a top-level key that has no effect; None if its value is in use, or nobody knows it.

    Args:
        cfg: The whole config.
        name: The key, which nothing reads.
        value: What it was set to.
        inherited: Whether it is a variable of the config's bases.
    """
    places = {key: used for key, used in _leaves(cfg._cfg_dict) if key.endswith(f".{name}")}
    if not places and inherited:
        return f"{name} has no effect here, because the bases have already used it: set the keys that use it"
    if not places or value in places.values():
        return None
    where = " and ".join(list(places)[:3])
    return f"nothing reads {name} at the top level: set {where} (now {next(iter(places.values()))!r:.60})"


def _leaves(cfg: Mapping | Sequence, path: str = "") -> Iterator[tuple[str, object]]:
    """Dotted keys of a config and their values, without dicts and lists."""
    for key, value in cfg.items() if isinstance(cfg, Mapping) else enumerate(cfg):
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, (Mapping, list, tuple)):
            yield from _leaves(value, name)
        else:
            yield name, value
