"""Reduces an exception to the few lines that a user needs."""

from __future__ import annotations

import inspect
import os
import re
import traceback
from difflib import get_close_matches
from types import FrameType

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_MOST_LINES = 3
_WORKER = "Original Traceback (most recent call last):"


def message_of(error: BaseException) -> str:
    """Describes what went wrong in at most three lines.

    An exception raised by this package is quoted without its type.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    text = _wrong_argument(error, frames) or _unknown_type(error, frames)
    lines = [line for line in (text or _quoted(error, frames)).splitlines() if line.strip()]
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES - 1 :] = [f"... and {len(lines) - _MOST_LINES + 1} more lines"]
    return "\n".join(lines)


def _quoted(error: BaseException, frames: list[FrameType]) -> str:
    """The exception's own message."""
    name = type(error).__name__
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    ours = bool(frames) and frames[-1].f_code.co_filename.startswith(PACKAGE)
    if _WORKER in text:  # a loader's worker passes on its traceback
        ours = re.findall(r'^  File "([^"]*)"', text, re.M)[-1].startswith(PACKAGE)
        text = re.split(rf"^(?:[\w.]+\.)?{name}: ", text, flags=re.M)[-1]
    # MMEngine 0.10.7 re-raises the exception of a constructor with a prefix
    if found := re.match(r"class `[^`]*` in ([^:]*): ", text):
        text, ours = text[found.end() :], ours or "otcxr_mm/" in found[1]
    return text if ours and text else f"{name}: {text}"


def _wrong_argument(error: BaseException, frames: list[FrameType]) -> str | None:
    """The message for an argument that a class does not take."""
    called = re.search(r"(\w+)(?:\.__init__)?\(\) (?:got an unexpected keyword|missing \d+ required)", str(error))
    if not isinstance(error, TypeError) or called is None:
        return None
    for frame in reversed(frames):
        if frame.f_code.co_name == "build_from_cfg":
            cls, given = frame.f_locals.get("obj_cls"), frame.f_locals.get("args", ())
        else:
            cls, given = frame.f_globals.get(called[1]), re.findall(r"argument '(\w+)'", str(error))
        if isinstance(cls, type) and given:
            known = [name for base in cls.__mro__ for name in inspect.signature(base.__init__).parameters]
            known = list(dict.fromkeys(name for name in known if name not in ("self", "args", "kwargs")))
            wrong = next((name for name in given if name not in known), None)
            near = get_close_matches(wrong, known, 1) if wrong else []
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
            return f"{cls.__name__} has no argument {wrong!r}: {hint}" if wrong else None
    return None


def _unknown_type(error: BaseException, frames: list[FrameType]) -> str | None:
    """The message for a type= that no registry knows."""
    if not isinstance(error, KeyError) or "is not in the" not in str(error):
        return None
    name, registry = frames[-1].f_locals.get("obj_type"), frames[-1].f_locals.get("registry")
    if not isinstance(name, str) or registry is None:
        return None
    root = registry._get_root_registry()
    known = [
        key if part.scope == registry.scope else f"{part.scope}.{key}"
        for part in (root, *root.children.values())
        for key in part.module_dict
    ]
    near = get_close_matches(name, known, 1) or [key for key in known if key.endswith(f".{name}")]
    hint = f"did you mean {near[0]!r}?" if near else "name the module that registers it in custom_imports"
    return f"type={name!r} of a {registry.name} is unknown: {hint}"
