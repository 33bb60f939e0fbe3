"""What is installed, read from metadata and files: nothing of it is imported."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from importlib import metadata, util
from importlib.machinery import PathFinder

from .supported import DISTRIBUTIONS


def normalised(name: str) -> str:
    """Name of a distribution as package indices compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


# `mmseg` is no part of MMSegmentation, and setuptools decides about pkg_resources
WATCHED = {name for names in DISTRIBUTIONS.values() for name in names} | {"otcxr-mm", "mmseg", "setuptools"}


@dataclass
class Distribution:
    """One copy of an installed distribution.

    Attributes:
        name: Normalised.
        version: As its metadata says.
        root: Folder in which its files are.
        editable: Folder of the source if it is installed editable, else ''.
        record: Its list of files: rows of path, hash, size.
        requires: What it asks for, such as ``"torch>=2.14.0"``.
    """

    name: str
    version: str
    root: str
    editable: str = ""
    record: list = field(default_factory=list, repr=False)
    requires: list = field(default_factory=list, repr=False)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def changed_files(self) -> tuple:
        """Python files of the record that are not there, and those whose hash is another: (missing, changed, all)."""
        missing, changed, count = [], [], 0
        for row in self.record:
            if len(row) < 2 or not row[0].endswith(".py") or not row[1].startswith("sha256="):
                continue
            count += 1
            try:
                with open(os.path.join(self.root, row[0]), "rb") as stream:
                    digest = hashlib.sha256(stream.read()).digest()
            except OSError:
                missing.append(row[0])
                continue
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != row[1][len("sha256=") :]:
                changed.append(row[0])
        return missing, changed, count


def installed() -> dict:
    """Copies of each watched distribution on `sys.path`, the one that counts first."""
    found, seen = {}, set()
    for dist in metadata.distributions():
        folder = str(getattr(dist, "_path", ""))
        stem = os.path.basename(folder).split("-")[0]
        if normalised(stem) not in WATCHED or os.path.realpath(folder) in seen:
            continue
        seen.add(os.path.realpath(folder))
        try:
            name, version = dist.metadata["Name"], dist.version
        except Exception:  # a folder without METADATA, or one that cannot be read
            name, version = None, None
        copy = Distribution(
            normalised(name or stem),
            version or "of unknown version",
            str(dist.locate_file("")),
            _editable(dist),
            _record(dist),
            dist.requires or [],
        )
        found.setdefault(copy.name, []).append(copy)
    return found


def _editable(dist: metadata.Distribution) -> str:
    try:
        url = json.loads(dist.read_text("direct_url.json") or "{}")
        return url["url"][len("file://") :] if url["dir_info"].get("editable") else ""
    except (KeyError, ValueError, OSError, TypeError, AttributeError):
        return ""


def _record(dist: metadata.Distribution) -> list:
    try:
        return list(csv.reader((dist.read_text("RECORD") or "").splitlines()))
    except (csv.Error, OSError, UnicodeDecodeError):
        return []


def first(packages: dict, module: str) -> Distribution | None:
    """The distribution that brings a module, or None."""
    return next((packages[name][0] for name in DISTRIBUTIONS.get(module, (module,)) if packages.get(name)), None)


def line_of(packages: dict) -> str:
    """The line of OpenMMLab that the environment has: ``"onedl"`` or ``"upstream"``."""
    if any(name.startswith("onedl-mm") for name in packages):
        return "onedl"
    return "upstream" if {"mmengine", "mmpretrain", "mmsegmentation"} & set(packages) else "onedl"


def origin(module: str, path: list | None = None) -> str:
    """Folder or file that an import of a top-level module would take; '' if there is none.

    Args:
        module: Import name without a dot: nothing is imported.
        path: Folders to search; default all that this interpreter searches, editable installs too.
    """
    try:
        spec = util.find_spec(module) if path is None else PathFinder.find_spec(module, path)
    except (ImportError, ValueError, AttributeError):
        return ""
    if spec is None or not spec.origin or spec.origin in ("built-in", "frozen", "namespace"):
        return ""  # a folder without __init__.py, such as the clone of a repository, hides nothing and is no package
    return os.path.dirname(spec.origin) if os.path.basename(spec.origin) == "__init__.py" else spec.origin


def constant(folder: str, name: str, file: str = "version.py") -> str | None:
    """A quoted constant of a module's version file, such as `__version__`; None if it is not there."""
    try:
        with open(os.path.join(folder, file), encoding="utf-8") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError):
        return None
    found = re.search(rf"^{name}\s*(?::[^=]*)?=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    return found.group(1) if found else None
