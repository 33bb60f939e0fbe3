"""The command `otcxr`: everything that the scripts of tools/ do, from any folder.

Heavy imports wait until a command needs them.
"""

from __future__ import annotations

import shlex
import sys
from importlib import import_module

import click

from ..version import __version__

# name: module, function, help text; each function parses its own arguments, like its script in tools/
COMMANDS = {
    "doctor": (".doctor", "main", "Check the installation, and say how to fix it."),
    "train": ("train", "main", "Pre-train, or train on labels."),
    "test": ("test", "main", "Test a run or a checkpoint."),
    "audit": ("audit", "main", "Find patients and images that two data sets share."),
    "prepare": ("prepare", "main", "Shrink the images of a data set and pack them into one file."),
    "views": ("views", "main", "Draw the pairs of crops that a config trains on."),
    "stats": ("stats", "main", "Summarise images, patients, labels and grey values."),
    "table": ("table", "main", "Make tables of test results for a paper."),
    "compare": ("compare", "main", "Compare two tested runs, paired by patient."),
}


def _forwarded(name: str, module: str, function: str, text: str) -> click.Command:
    """Makes a command that passes its arguments on unchanged."""

    def run(arguments: tuple[str, ...]) -> None:
        sys.argv = [f"otcxr {name}", *arguments]  # what argparse calls the command
        sys.exit(getattr(import_module(f".{module}", __package__), function)(list(arguments)))

    return click.Command(
        name,
        callback=run,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        help=text,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )


class _InOrder(click.Group):
    """Lists the commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        order = ["doctor", "list-cfg", "copy-cfg", "audit", "prepare", "views", "stats", "train", "test", "export"]
        return sorted(self.commands, key=lambda name: order.index(name) if name in order else len(order))


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="otcxr_mm")
def main() -> None:
    """Self-supervised pre-training on chest radiographs, from preparing the data to evaluating the backbone.

    See otcxr COMMAND --help for each command. Research software, not a medical device.
    """


for _name, _command in COMMANDS.items():
    main.add_command(_forwarded(_name, *_command))


def _fail(error: Exception) -> None:
    raise click.ClickException(str(error)) from None


@main.command("list-cfg", short_help="List the configs that come with the package.")
@click.argument("pattern", default="")
def list_cfg(pattern: str) -> None:
    """List the configs that come with the package, or those with PATTERN in their name or description."""
    from ..utils.configs import config_folder, list_configs

    rows = list_configs(pattern)
    if not rows:
        raise click.ClickException(f"no config has {pattern!r} in its name or description")
    group = None
    for path, text in rows:
        folder, _, name = path.rpartition("/")
        if folder != group:
            click.echo(f"\n{folder}/" if folder else "")
            group = folder
        click.echo(f"  {name:<34} {text}")
    click.echo(
        f"\nin {config_folder()}\nTrain with `otcxr train NAME`; copy a config to edit it with `otcxr copy-cfg NAME`."
    )


@main.command("copy-cfg", short_help="Copy a config to edit it.")
@click.argument("name")
@click.argument("target", default=".")
@click.option("--flat", is_flag=True, help="merge its bases and environment variables into the copy")
@click.option("--force", is_flag=True, help="overwrite an existing file")
def copy_cfg(name: str, target: str, flat: bool, force: bool) -> None:
    """Copy the config NAME to TARGET, a file or a folder (default: the current one), to edit it there.

    With --flat, NAME may be your own file; `mim train mmpretrain` accepts the result.
    """
    from .copy_cfg import copy_config

    try:
        path = copy_config(name, target, flat, force)
    except OSError as error:
        _fail(error)
    click.echo(f"{path}: written. Train with `otcxr train {shlex.quote(str(path))}`")


@main.command(short_help="Export a backbone for another library.")
@click.argument("source")
@click.option("--out", metavar="FILE", help=".pth or .safetensors; default: backbone_FORMAT.pth beside the checkpoint")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["mmpretrain", "torchvision", "timm"]),
    default="mmpretrain",
    show_default=True,
    help="library whose parameter names to use (mmseg and mmdet use those of mmpretrain)",
)
@click.option(
    "--channels", type=click.Choice(["1", "3"]), help="input channels of the first convolution; default: as trained"
)
@click.option("--force", is_flag=True, help="overwrite existing files")
def export(source: str, out: str | None, layout: str, channels: str | None, force: bool) -> None:
    """Export the backbone of SOURCE, a work dir or a checkpoint, for another library."""
    from ..backbones.convert import export_backbone

    try:
        path = export_backbone(source, out, layout, channels and int(channels), force)
    except (OSError, ValueError, ImportError) as error:
        _fail(error)
    click.echo(f"{path} and {path.with_suffix('.json').name}: written")
