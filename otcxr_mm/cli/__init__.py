"""The command `otcxr`: each of its commands is the function `main` of a module.

Heavy imports wait until a command needs them.
"""

from __future__ import annotations

import argparse
import sys
from difflib import get_close_matches
from importlib import import_module

from ..version import __version__

# name: module, help text; in the order in which they are used
COMMANDS = {
    "doctor": ("otcxr_mm.doctor", "Check the installation, and say how to fix it."),
    "list-cfg": ("otcxr_mm.cli.list_cfg", "List the configs that come with the package."),
    "copy-cfg": ("otcxr_mm.cli.copy_cfg", "Copy a config to edit it."),
    "audit": ("otcxr_mm.cli.audit", "Find patients and images that two data sets share."),
    "prepare": ("otcxr_mm.cli.prepare", "Shrink the images of a data set and pack them into one file."),
    "views": ("otcxr_mm.cli.views", "Draw the pairs of crops that a config trains on."),
    "stats": ("otcxr_mm.cli.stats", "Summarise images, patients, labels and grey values."),
    "train": ("otcxr_mm.cli.train", "Pre-train, or train on labels."),
    "test": ("otcxr_mm.cli.test", "Test a run or a checkpoint."),
    "predict": ("otcxr_mm.cli.predict", "Write findings, or areas of structures, of images to a table."),
    "embed": ("otcxr_mm.cli.embed", "Write the features of images."),
    "similar": ("otcxr_mm.cli.similar", "Find the images of an archive that look alike."),
    "match": ("otcxr_mm.cli.match", "Draw which region of one image corresponds to which of another."),
    "export": ("otcxr_mm.cli.export", "Export a backbone for another library."),
    "table": ("otcxr_mm.cli.table", "Make tables of test results for a paper."),
    "compare": ("otcxr_mm.cli.compare", "Compare two tested runs, paired by patient."),
    "report": ("otcxr_mm.cli.report", "Write a page about runs, also while they train."),
}


def main(argv: list[str] | None = None) -> None:
    """Runs the command that the first argument names, and exits with what it returns."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="otcxr",
        description="Self-supervised pre-training on chest radiographs, from preparing the data to evaluating the "
        "backbone. Research software, not a medical device.",
        epilog="commands:\n" + "".join(f"  {name:<10}{text}\n" for name, (_, text) in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"otcxr_mm {__version__}")
    parser.add_argument("command", metavar="COMMAND", help="see otcxr COMMAND --help for its arguments")
    name = parser.parse_args(argv[:1] or ["--help"]).command
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, 1)
        parser.exit(
            2, f"otcxr: error: no command {name!r}; " + (f"did you mean {near[0]}?\n" if near else "see --help\n")
        )
    sys.argv = [f"otcxr {name}", *argv[1:]]  # its first item is the program in help texts and errors
    sys.exit(import_module(COMMANDS[name][0]).main(argv[1:]))
