"""Copies a config for editing: `otcxr copy-cfg`.

The bases of a copy stay in the package: they are named as `otcxr_mm::_base_/...`, which `otcxr train`, `mim train
otcxr_mm` and any process that has imported `otcxr_mm.utils.patches` understand.
"""

import os
import re
import shlex
from pathlib import Path

from ..utils.configs import PACKAGE, config_folder, find_config
from ..utils.files import write_whole
from ..version import __version__
from .console import ArgumentParser, command


@command
def main(argv: list[str] | None = None) -> None:
    """Writes the copy."""
    parser = ArgumentParser(
        description="Copy a config to edit it. With --flat, NAME may be your own file, and `mim train mmpretrain` "
        "accepts the result."
    )
    parser.add_argument("name", help="config that comes with the package")
    parser.add_argument("target", nargs="?", default=".", help="file or folder to write; default: the current folder")
    parser.add_argument("--flat", action="store_true", help="merge bases and environment variables into the copy")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")
    args = parser.parse_args(argv)
    source = Path(args.name) if args.flat and os.path.isfile(args.name) else find_config(args.name)
    target = Path(args.target).expanduser()
    if target.is_dir() or target.suffix != ".py":
        target = target / source.name
    if target.exists() and not args.force:
        raise SystemExit(f"{target} already exists: name another file, or overwrite it with --force")
    write_whole(target, (_flat(source) if args.flat else _from_any_folder(source, target)).encode())
    print(f"{target}: written. Train with `otcxr train {shlex.quote(str(target))}`")


def _flat(source: Path) -> str:
    """The text of a config with its bases merged in."""
    from mmengine.config import Config

    from ..utils import patches  # noqa: F401  knows bases that are named otcxr_mm::X.py

    return f"# {source.name} with its bases in {PACKAGE} {__version__}.\n{Config.fromfile(str(source)).pretty_text}"


def _from_any_folder(source: Path, target: Path) -> str:
    """The text of a config of this package, with bases and commands that work from any folder."""

    def base(found: re.Match) -> str:
        return f'"{PACKAGE}::{(source.parent / found[1]).resolve().relative_to(config_folder()).as_posix()}"'

    own = re.escape(f"configs/{source.relative_to(config_folder()).as_posix()}")
    new, work_dir = shlex.quote(str(target)), shlex.quote(f"work_dirs/{target.stem}")
    several = "torchrun --standalone --nproc_per_node={} -m otcxr_mm train {} --launcher pytorch"
    named = re.search(r"^_base_ = (?:\[.*?\]|.*?)$", text := source.read_text("utf-8"), re.M | re.S)
    head, bases, body = text[: named.start()], named[0], text[named.end() :]
    head = re.sub(rf"bash tools/dist_train\.sh {own} (\d+)", lambda found: several.format(found[1], new), head)
    head = re.sub(rf"work_dirs/{source.stem}\b", lambda _: work_dir, re.sub(own, lambda _: new, head))
    return re.sub(r"python tools/(train|test)\.py", r"otcxr \1", head) + re.sub(r'"([^":]+\.py)"', base, bases) + body
