"""The configs that come with the package: finds them by name, lists them, and copies them for editing."""

import ast
import keyword
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from ..fileio import write_whole
from ..version import __version__

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
            `benchmarks/linear/otcxr_linear_r50_nih.py` or `_base_/models/otcxr_r50.py`; optionally after `otcxr_mm::`.

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


def copy_config(name: str, target: str | os.PathLike = ".", flat: bool = False, force: bool = False) -> Path:
    """Copies a config of this package so that it can be edited.

    Its bases stay in the package: they are named as `otcxr_mm::_base_/...`, which `otcxr train`, `mim train otcxr_mm`
    and any process that has imported `otcxr_mm.registry` understand. With `flat` the copy has no bases.

    Args:
        name: As for :func:`find_config`; with `flat` also your own file.
        target: File to write, or a folder for a file with the config's name.
        flat: Merge the bases and the values of environment variables into the copy, for `mim train mmpretrain` or to
            keep.
        force: Overwrite an existing file.

    Returns:
        The file written.

    Raises:
        FileNotFoundError: If there is no such config.
        FileExistsError: If the file already exists.
    """
    source = Path(name) if flat and os.path.isfile(name) else find_config(name)
    target = Path(target).expanduser()
    if target.is_dir() or target.suffix != ".py":
        target = target / source.name
    if target.exists() and not force:
        raise FileExistsError(f"{target} already exists: name another file, or overwrite it with --force")
    if flat:
        from mmengine.config import Config

        from .. import registry  # noqa: F401  knows bases that are named otcxr_mm::X.py

        text = f"# {source.name} with its bases in {PACKAGE} {__version__}.\n{Config.fromfile(str(source)).pretty_text}"
    else:
        text = _of_the_package(source, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, text.encode())
    return target


def _of_the_package(source: Path, target: Path) -> str:
    """The text of a config with bases and commands that work from any folder."""
    text = source.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    for node in sorted(_base_names(text), key=lambda n: (n.lineno, n.col_offset), reverse=True):
        base = (source.parent / node.value).resolve().relative_to(config_folder()).as_posix()
        line = lines[node.lineno - 1]  # strings on one line each, plain ASCII before them
        lines[node.lineno - 1] = f'{line[: node.col_offset]}"{PACKAGE}::{base}"{line[node.end_col_offset :]}'
    own = f"configs/{source.relative_to(config_folder()).as_posix()}"
    new, work_dir = shlex.quote(str(target)), shlex.quote(f"work_dirs/{target.stem}")
    several = "torchrun --standalone --nproc_per_node={} -m otcxr_mm train {} --launcher pytorch"
    swaps = (
        (rf"bash tools/dist_train\.sh {re.escape(own)} (\d+)", lambda found: several.format(found[1], new)),
        (r"python tools/(train|test)\.py", lambda found: f"otcxr {found[1]}"),
        (re.escape(own), lambda _: new),
        (rf"work_dirs/{source.stem}\b", lambda _: work_dir),
    )
    for i, line in enumerate(lines):
        if line.startswith("#"):
            for before, after in swaps:
                line = re.sub(before, after, line)
            lines[i] = line
    return "".join(lines)


def _base_names(text: str) -> Iterator[ast.Constant]:
    """The strings of `_base_ = [...]`, or of `_base_ = "..."`, that name files beside the config."""
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", None) == "_base_":
            for node in ast.walk(statement.value):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and "::" not in node.value:
                    yield node


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
