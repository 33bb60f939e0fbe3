"""Copies a config for editing: `otcxr copy-cfg`."""

import ast
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from ..utils.configs import PACKAGE, config_folder, find_config
from ..utils.files import write_whole
from ..version import __version__


def copy_config(name: str, target: str | os.PathLike = ".", flat: bool = False, force: bool = False) -> Path:
    """Copies a config of this package so that it can be edited.

    Its bases stay in the package: they are named as `otcxr_mm::_base_/...`, which `otcxr train`, `mim train otcxr_mm`
    and any process that has imported `otcxr_mm.utils.patches` understand. With `flat` the copy has no bases.

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

        from ..utils import patches  # noqa: F401  knows bases that are named otcxr_mm::X.py

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
