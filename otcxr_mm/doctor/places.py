"""Findings about Python itself and about where modules are imported from."""

from __future__ import annotations

import os
import platform
import sys

from .finding import Finding, error, note, ok, warning
from .installed import first, origin
from .supported import DISTRIBUTIONS, PYTHON_OLDEST, PYTHON_TESTED

# names of the standard library that people give to their own files, with the consequence that imports break
_STANDARD = [
    "calendar",
    "code",
    "collections",
    "copy",
    "csv",
    "dataclasses",
    "email",
    "enum",
    "functools",
    "inspect",
    "io",
    "json",
    "logging",
    "math",
    "numbers",
    "operator",
    "pickle",
    "platform",
    "profile",
    "queue",
    "random",
    "re",
    "secrets",
    "select",
    "signal",
    "socket",
    "statistics",
    "string",
    "struct",
    "tempfile",
    "threading",
    "token",
    "tokenize",
    "types",
    "typing",
    "uuid",
    "warnings",
]
_OURS = (*DISTRIBUTIONS, "otcxr_mm", "yaml", "scipy", "matplotlib", "PIL", "click", "rich", "addict")
MIM = ("configs", "tools", "model-index.yml")


def examine_places(packages: dict) -> list:
    """All findings of this file."""
    return [python(sys.version_info[:3]), *shadows(packages), *our_package(packages)]


def python(version: tuple) -> Finding:
    """Whether this Python is one that otcxr_mm runs on.

    Args:
        version: (major, minor, micro).
    """
    text = ".".join(map(str, version))
    tested = " and ".join(".".join(map(str, v)) for v in PYTHON_TESTED)
    where = f"{text}, {platform.system()} {platform.machine()}, {sys.executable or 'unknown interpreter'}"
    if version[:2] < PYTHON_OLDEST:
        oldest = ".".join(map(str, PYTHON_OLDEST))
        return error(
            "python-version",
            f"Python {text} ({sys.executable}) is too old: otcxr_mm needs {oldest}, and is tested on {tested}",
            "make an environment with a newer one: python3.11 -m venv .venv, or conda create -n otcxr python=3.11",
        )
    if version[:2] > PYTHON_TESTED[-1]:
        return warning(
            "python-version",
            f"Python {text} is newer than those that are tested ({tested}): wheels may be missing",
            "if an installation or an import fails, make an environment with Python 3.11 or 3.12",
        )
    if version[:2] not in PYTHON_TESTED:
        return note("python", f"{where}; the locked versions need {tested}")
    if platform.system() != "Linux":
        return note("python", f"{where}; tested on Linux only")
    return ok("python", where)


def shadows(packages: dict) -> list:
    """Files and folders that hide an installed module, in the current folder or on PYTHONPATH."""
    findings, here = [], os.getcwd()
    on_path = any(os.path.realpath(entry or here) == os.path.realpath(here) for entry in sys.path)
    for name in (*_OURS, *_STANDARD):
        hiding, installed = origin(name, [here]), origin(name, [p for p in sys.path if not _same(p or here, here)])
        harmless = (installed, _source(packages, name))
        if not hiding or (not installed and name in _OURS) or any(p and _same(hiding, p) for p in harmless):
            continue
        findings.append(
            (error if on_path else warning)(
                "shadowed",
                f"{hiding} in the current folder hides the {'installed' if name in _OURS else 'standard'} module "
                f"{name}" + ("" if on_path else " for `python -m ...` and torchrun -m"),
                "rename it, or start from another folder",
            )
        )
    for entry in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        for name in DISTRIBUTIONS:
            hiding = origin(name, [entry])
            dist = first(packages, name)
            if (
                not hiding
                or not dist
                or _same(entry, dist.root)
                or _same(entry, here)
                or _inside(hiding, dist.editable)
            ):
                continue
            findings.append(
                warning(
                    "shadowed",
                    f"PYTHONPATH makes Python import {name} from {hiding}, not the installed {dist}",
                    "unset PYTHONPATH, unless that is what you want",
                )
            )
    return findings


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _inside(path: str, folder: str) -> bool:
    return bool(folder) and os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)


def _source(packages: dict, name: str) -> str:
    """Where an editable install has its module."""
    dist = packages["otcxr-mm"][0] if name == "otcxr_mm" and "otcxr-mm" in packages else first(packages, name)
    return os.path.join(dist.editable, name) if dist and dist.editable else ""


def our_package(packages: dict) -> list:
    """Where otcxr_mm is imported from, whether that is what was installed, and its `.mim` folder."""
    from otcxr_mm.version import __version__

    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    copies = packages.get("otcxr-mm")
    if not copies:
        findings = [note("otcxr_mm", f"{__version__} from {here}, not installed: found by PYTHONPATH or the folder")]
    else:
        dist = copies[0]
        source = os.path.join(dist.editable or dist.root, "otcxr_mm")
        if _same(source, here):
            findings = [ok("otcxr_mm", f"{__version__} from {here}" + (" (editable)" if dist.editable else ""))]
        else:
            findings = [
                warning(
                    "shadowed",
                    f"otcxr_mm is imported from {here}, but pip installed {dist} from {source}",
                    "start from another folder, unset PYTHONPATH, or install again: pip install -e . in the folder "
                    "that you want",
                )
            ]
    mim = os.path.join(here, ".mim")
    lacking = [name for name in MIM if not os.path.exists(os.path.join(mim, name))]
    if lacking:
        links = [name for name in lacking if os.path.islink(os.path.join(mim, name))]
        what = "links to nothing: " if len(links) == len(lacking) else "lacks "
        findings.append(
            warning(
                "mim-folder",
                f"{mim} {what}{', '.join(lacking)}: `mim train otcxr_mm CONFIG`, `otcxr list-cfg` and bases such as "
                "otcxr_mm::_base_/... do not find them",
                "install the package again: pip install -e . --no-deps in its folder, or the wheel",
            )
        )
    return findings
