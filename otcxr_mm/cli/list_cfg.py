"""Lists the configs that come with the package: `otcxr list-cfg`."""

from __future__ import annotations

from ..utils.configs import config_folder, list_configs
from .console import ArgumentParser, command


@command
def main(argv: list[str] | None = None) -> None:
    """Prints names and first sentences, by folder."""
    parser = ArgumentParser(description="List the configs that come with the package.")
    parser.add_argument("pattern", nargs="?", default="", help="text to look for in names and descriptions")
    pattern = parser.parse_args(argv).pattern
    rows = list_configs(pattern)
    if not rows:
        raise SystemExit(f"no config has {pattern!r} in its name or description")
    width = max(len(path) for path, _ in rows)
    for path, text in rows:
        print(f"{path:<{width}}  {text}")
    print(f"\nin {config_folder()}")
    print("Train with `otcxr train NAME`; copy a config to edit it with `otcxr copy-cfg NAME`.")
