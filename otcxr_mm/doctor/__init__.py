"""Names what is wrong with an installation, or with what a config needs, and what to do about it.

This process uses the standard library alone; all that may fail to import runs in a child process. The modules here can
be read by Python 3.8, so that a wrong Python is named and not a traceback.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys

from .child import Probe, run_probe
from .finding import CODES, Finding, note
from .report import report

__all__ = ["CODES", "Finding", "examine", "main", "report"]

TIMEOUT = 120.0


def examine(
    config: str | None = None,
    work_dir: str | None = None,
    timeout: float = TIMEOUT,
    imports: bool = True,
    near: str = "",
) -> list[Finding]:
    """Looks at Python, packages, imports, GPUs, machine and disk, and at a config.

    Args:
        config: Config file; None: the installation alone.
        work_dir: Where a run would write; default the config's, else `work_dirs/CONFIG`.
        timeout: Seconds that one import may take.
        imports: Whether to import the packages and read the config, in a process of their own; without it only
            metadata, files and the machine are looked at, in less than a second.
        near: If there is no such config, one of the package with a name like it.

    Returns:
        Findings in the order of the report.
    """
    from . import disk, experiment, gpus, machine
    from .imports import examine_imports
    from .installed import installed, origin
    from .packages import examine_packages
    from .places import examine_places
    from .private import private_values
    from .supported import OPTIONAL, REQUIRED

    packages = installed()
    groups = {"Python": examine_places(packages)}
    if any(f.code == "python-version" and f.level == "error" for f in groups["Python"]):
        return _grouped(groups)  # nothing else can be told from it
    groups["Packages"] = examine_packages(packages)
    there = config is not None and os.path.isfile(config)
    used = [m for m in OPTIONAL if m != "monai" and origin(m)]
    absent = [m for m in REQUIRED if not origin(m)]
    request = {
        "modules": [*[m for m in REQUIRED if m not in absent], "otcxr_mm", *used],
        "config": os.path.abspath(config) if there else None,
    }
    probe = run_probe(request, timeout, absent) if imports else Probe()
    needed = experiment.needed_modules(probe)
    if imports:
        groups["Imports"] = examine_imports(probe, packages, needed)
    floor = experiment.bytes_to_train(probe)
    facts = probe.good("torch facts") or {}
    groups["GPU"] = gpus.examine_gpus(probe, floor)
    read = probe.good("config") or {}
    groups["Machine"] = machine.examine_machine(probe, read.get("workers"), floor, not facts.get("available"))
    if config is not None and not there:
        groups["Config"] = [experiment.missing_config(config, near)]
    elif config is not None and imports:
        groups["Config"] = experiment.examine_config(config, probe, packages)
    elif config is not None:
        groups["Config"] = [note("config", "not read with --quick")]
    name = os.path.splitext(os.path.basename(config))[0] if config else ""
    folder = work_dir or read.get("work_dir") or os.path.join("work_dirs", name)
    groups["Disk"] = disk.examine_disk(folder, *experiment.bytes_of_checkpoints(probe))
    return _grouped(groups, private_values(config, folder, read))


# what metadata tells, and the import again: said once, with the graver level
_SAID_TWICE = ("mmseg-mmcv", "mmseg-tokeniser", "pkg-resources")


def _grouped(groups: dict, private: tuple = ()) -> list:
    findings = [dataclasses.replace(f, group=group, private=private) for group, found in groups.items() for f in found]
    for code in _SAID_TWICE:
        same = sorted((f for f in findings if f.code == code), key=lambda f: f.level)  # error, then warning
        findings = [f for f in findings if f.code != code or f is same[0]]
    return findings


def main(argv: list[str] | None = None) -> int:
    """The command `python -m otcxr_mm.doctor`.

    Args:
        argv: Arguments; default those of the process.

    Returns:
        Exit status: 1 if there is an error.
    """
    import argparse

    parser = argparse.ArgumentParser(
        prog="otcxr doctor", description="Name what is wrong with the installation, and what to do"
    )
    parser.add_argument(
        "config",
        nargs="?",
        help="config file, or a name from `otcxr list-cfg`, to examine too",
    )
    parser.add_argument("--work-dir", metavar="DIR", help="where the run would write; default work_dirs/CONFIG")
    parser.add_argument(
        "--json", action="store_true", help="print JSON for a bug report, without your paths and user name"
    )
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT, metavar="S", help="seconds that an import may take (120)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="import nothing: look at metadata, files and the machine only (about a second)",
    )
    args, near = parser.parse_args(argv), ""
    if args.config and not os.path.isfile(args.config) and sys.version_info >= (3, 10):
        from ..apis.configs import find_config

        try:
            args.config = str(find_config(args.config))
        except FileNotFoundError as failure:
            named = re.search(r"did you mean (\S+)\?", str(failure))
            near = named.group(1) if named else ""
    findings = examine(args.config, args.work_dir, args.timeout, not args.quick, near)
    print(report(findings, args.json))
    return int(any(f.level == "error" for f in findings))
