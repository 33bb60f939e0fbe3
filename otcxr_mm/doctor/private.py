"""Takes out of a report what is nobody's business: paths, what a config names, the user's name."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import sys

PLACEHOLDER = "<path>"
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/proc", "/sys", "/dev")
# folders that are named so everywhere, and stand in the sentences of the doctor
_COMMON = {"data", "images", "image", "img", "masks", "labels", "train", "val", "test", "model", "config", "work_dirs"}
_ENDS = r"\s'\"`,;:()\[\]{}<>|"


def private_values(config: str | None, work_dir: str, read: dict, roots: tuple = ()) -> tuple:
    """What may not stand in a bug report, whether it looks like a path or not.

    Args:
        config: As asked for.
        work_dir: Where the run would write.
        read: What was read of the config; empty if nothing was.
        roots: Folders that are named by a user elsewhere.
    """
    values = set(roots)
    if config and not _is_public(os.path.abspath(config)):
        values |= {config, os.path.basename(config)}
    if config is None or not _is_public(os.path.abspath(config)) or os.path.dirname(work_dir) != "work_dirs":
        values.add(work_dir)
    values |= {path for _, path in read.get("checkpoints", ())}
    values |= {read.get("work_dir"), read.get("out_dir")}
    for entry in read.get("data", ()):
        root = str(entry.get("data_root") or "")
        for name, value in entry.items():
            if name in ("place", "type"):
                continue
            for path in value.values() if isinstance(value, dict) else [value]:
                if isinstance(path, str):
                    values |= {path, os.path.join(os.path.expanduser(root), path)}
    values = {str(v) for v in values if v}
    values |= {os.path.expanduser(v) for v in values}
    values |= {
        way(v) for v in values if "://" not in v for way in (os.path.abspath, os.path.realpath, os.path.normpath)
    }
    words = _COMMON | {v for v in values if len(v) < 3}  # too short to be told from the words of a sentence
    return tuple(sorted(v for v in values if v.strip("./") and v not in words))


def without_private(text: str, values: tuple = (), relative: bool = False) -> str:
    """The text with a placeholder for each path that is not of the system, of Python, or of an installed package.

    Args:
        text: A message or an advice.
        values: Of :func:`private_values`: taken out wherever they stand.
        relative: Whether relative paths go, too.
    """
    tail = rf"(?:/[^{_ENDS}]*)?"
    spelt = {w for v in values for w in (v, repr(v)[1:-1], re.sub(r"\s+", " ", v))}
    known = [re.escape(v.rstrip("/")) for v in sorted(spelt, key=len, reverse=True)]
    if known:
        text = re.sub(rf"(?<![\w.-])(?:{'|'.join(known)}){tail}(?![\w-])", PLACEHOLDER, text)
    # with spaces in them, these are not found by their looks
    folders = sorted({*_public(), os.getcwd(), *_homes()}, key=len, reverse=True)
    whole = "|".join(re.escape(f) for f in folders if len(f) > 1)
    pattern = "|".join(
        (
            rf"(?<![\w.~/-])(?:{whole})(?![\w.-])[^{_ENDS}]*",
            r"(?<=')[/~][^'\n]*(?=')",
            r'(?<=")[/~][^"\n]*(?=")',
            r"(?<![\w.~/>-])~?/(?:(?!, |: )[^'\"\n\[])+?(?=, line \d)",
            rf"[\w+.-]+://[^{_ENDS}]*(?::[^{_ENDS}]+)*",
            rf"(?<![\w.~/>-])(?:~[\w.-]*)?/+[^{_ENDS}]+",
            *([rf"(?<![\w.~/>-])[\w.-]+/[^{_ENDS}]+"] if relative else []),
        )
    )
    text = re.sub(pattern, lambda match: _shown(match.group()), text).replace(2 * PLACEHOLDER, PLACEHOLDER)
    names = "|".join(map(re.escape, _users()))
    return re.sub(rf"(?<![\w-])(?:{names})(?![\w-])", "<user>", text) if names else text


def _shown(path: str) -> str:
    """What stands in place of a path."""
    if "://" not in path and os.path.isabs(path):
        path = os.path.normpath(path.replace("//", "/"))
        if _is_public(path) or path in ("/tmp", "/var/tmp"):
            return path
    package = re.search(r"/(?:site|dist)-packages(?:/|$)", path)
    return PLACEHOLDER + (path[package.start() :] if package else "")


def _public() -> set:
    """Folders whose paths say something about an installation, and nothing about a hospital."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    own = {sys.prefix, sys.base_prefix, package, os.path.join(os.path.dirname(package), "configs")}
    return {folder for f in own for folder in (f, os.path.realpath(f)) if len(folder) > 1} | set(_SYSTEM)


def _is_public(path: str) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in _public())


def _homes() -> set:
    home = os.path.expanduser("~")
    return {home, os.path.realpath(home)}


def _users() -> list:
    """Names of the user, but those that say nothing."""
    names = {os.path.basename(home) for home in _homes()}
    with contextlib.suppress(OSError, KeyError, ImportError):  # a container's user may have no entry
        names.add(getpass.getuser())
    return sorted(names - {"", "root", "home", "user", "nobody"}, key=len, reverse=True)
