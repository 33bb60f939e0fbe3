"""The configs that come with the package: finds them by name, lists them, and copies them for editing."""

import ast
import keyword
import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

PACKAGE = "otcxr_mm"


def config_folder() -> Path:
    """Where the configs are: `.mim/configs` of the installed package, or the folder beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / ".mim" / "configs", package.parent / "configs"):
        if folder.is_dir():
            return folder.resolve()
    raise FileNotFoundError(f"{package}: found neither .mim/configs in it nor configs beside it: reinstall otcxr_mm")


def _entry_points() -> dict[str, Path]:
    """Configs to train or test with, by name; bases are left out."""
    folder = config_folder()
    found = sorted(p for p in folder.rglob("*.py") if "_base_" not in p.relative_to(folder).parts)
    return {path.name: path for path in found}


def find_config(name: str) -> Path:
    """Finds a config of this package by its name.

    Args:
        name: `otcxr_r50_nih`, with or without `.py`; or its path below `configs/`, such as
            `downstream/linear/linear_r50_nih.py` or `_base_/models/otcxr_r50.py`; optionally after `otcxr_mm::`.

    Raises:
        FileNotFoundError: If there is none; suggests the closest name.
    """
    wanted = name.removeprefix(f"{PACKAGE}::").removesuffix(".py") + ".py"
    folder, known = config_folder(), _entry_points()
    path = known.get(wanted) or folder / wanted.removeprefix("configs/")
    if not path.is_file() or folder not in path.resolve().parents:
        near = get_close_matches(os.path.basename(wanted), known, n=1)
        raise FileNotFoundError(
            f"{name}: no config of {PACKAGE} has this name; "
            + (f"did you mean {near[0]}? " if near else "")
            + "`otcxr list-cfg` lists them"
        )
    return path


def list_configs(pattern: str = "") -> list[tuple[str, str]]:
    """Names and first sentences of the configs in which either contains `pattern`, ignoring case."""
    rows = [(path.relative_to(config_folder()).as_posix(), _sentence(path)) for path in _entry_points().values()]
    return sorted(row for row in rows if pattern.lower() in " ".join(row).lower())


def _sentence(path: Path) -> str:
    """The first sentence of the comment at the head of a config."""
    head = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# ") or line.startswith("#   "):
            break
        head.append(line[2:])
    return re.split(r"(?<=\.)\s", " ".join(head))[0]


def config_text(cfg: Mapping) -> str:
    """Formats a config as Python text whose keys keep their order.

    MMEngine's own `Config.pretty_text` sorts the keys, including classes that are given as a mapping: a model would
    then be scored against the wrong columns.

    Args:
        cfg: A config, or any mapping of settings.

    Returns:
        One assignment per top-level key. Types are written as `module.name`, as MMEngine does.
    """
    settings = cfg.to_dict() if hasattr(cfg, "to_dict") else cfg
    return "".join(f"{key} = {_literal(value)}\n" for key, value in settings.items())


def _literal(value: object, indent: str = "", folded: bool = False) -> str:
    inner = indent + "    "
    if isinstance(value, Mapping):
        if all(isinstance(k, str) and k.isidentifier() and not keyword.iskeyword(k) for k in value):
            left, right, items = "dict(", ")", [f"{k}={_literal(v, inner)}" for k, v in value.items()]
        else:
            left, right, items = "{", "}", [f"{k!r}: {_literal(v, inner)}" for k, v in value.items()]
    elif isinstance(value, (list, tuple)):
        left, right = "[]" if isinstance(value, list) else "()"
        items = [_literal(item, inner, folded=True) for item in value]
        if len(items) == 1 and left == "(":
            items[0] += ","
    elif isinstance(value, float) and value - value != 0:  # inf and nan are not literals
        return f'float("{value}")'
    else:
        return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else repr(value)
    line = left + ", ".join(items) + right
    # a line per setting, so that two configs compare line by line; steps of a pipeline stay together
    one_line = len(items) < 2 or folded or not isinstance(value, Mapping)
    if one_line and "\n" not in line and len(indent) + len(line) <= 100:
        return line
    return left + "".join(f"\n{inner}{item.removesuffix(',')}," for item in items) + f"\n{indent}{right}"


def read_settings(text: str) -> dict:
    """Reads the settings of a config as MMEngine writes it into checkpoints, without running any code in it.

    Returns:
        The settings as plain containers.

    Raises:
        SyntaxError: If it is not Python.
        ValueError: If it contains anything but literals and calls of `dict`.
    """
    settings = {}
    for statement in ast.parse(text).body:
        targets = getattr(statement, "targets", ())
        if not isinstance(statement, ast.Assign) or len(targets) != 1 or not isinstance(targets[0], ast.Name):
            raise ValueError(f"line {statement.lineno} is code, not a setting")
        try:
            settings[targets[0].id] = _value(statement.value)
        except TypeError as error:  # such as dict(1), or a list for a key
            raise ValueError(f"line {statement.lineno}: {error}") from None
    return settings


def _value(node: ast.expr) -> object:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        named = {keyword.arg: _value(keyword.value) for keyword in node.keywords}
        return {**(_value(node.args[0]) if node.args else {}), **named}
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return kind(_value(item) for item in node.elts)
    if isinstance(node, ast.Name) and node.id in ("inf", "nan"):  # as MMEngine writes them
        return float(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float" and node.args:
        return float(ast.literal_eval(node.args[0]))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    return ast.literal_eval(node)


def leaf_specs(spec: Mapping) -> Iterator[Mapping]:
    """The configs of the data sets inside ConcatDataset, RepeatDataset and the like."""
    inner = spec.get("datasets") or ([spec["dataset"]] if isinstance(spec.get("dataset"), Mapping) else [])
    if not inner:
        yield spec
    for child in inner:
        yield from leaf_specs(child)
