"""Reduces an exception to the few lines that a user needs."""

import inspect
import os
import re
import traceback
from difflib import get_close_matches
from types import FrameType

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MOST_LINES = 3
_TORCH_LOAD = os.path.join("torch", "serialization.py")
_REGISTRY = re.compile(r"^class `[^`]*` in [^:]*: ")


def message_of(error: BaseException) -> str:
    """Describes what went wrong in at most :data:`MOST_LINES` lines.

    An exception raised by this package is quoted without its type. MMEngine's prefix about a class that it could not
    build and the traceback of a loader's worker are left out.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    text = _file_that_cannot_be_loaded(error, frames) or _argument(error, frames) or _unknown_type(error, frames)
    if text is None:
        text, ours = _told(error, frames)
        built = [str(frame.f_locals.get("obj_type")) for frame in frames if frame.f_code.co_name == "build_from_cfg"]
        if not ours:
            text = f"{type(error).__name__}: {text}" + (f" (while building {' > '.join(built)})" if built else "")
    lines = [line for line in text.strip().splitlines() if line.strip()] or [type(error).__name__]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"... and {len(lines) - MOST_LINES + 1} more lines"]
    return "\n".join(lines)


def _told(error: BaseException, frames: list[FrameType]) -> tuple[str, bool]:
    """The message, and whether this package raised it."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    ours = bool(frames) and frames[-1].f_code.co_filename.startswith(PACKAGE)
    if "Original Traceback (most recent call last):" in text:
        name = type(error).__name__
        *_, files = re.findall(r'^  File "([^"]*)"', text, re.M) or [""]
        start = [match.end() for match in re.finditer(rf"^(?:[\w.]+\.)?{name}: ", text, re.M)]
        text, ours = text[start[-1] :] if start else text, files.startswith(PACKAGE)
    stripped = _REGISTRY.sub("", text)
    # MMEngine 0.10.7 re-raises the exception of a constructor as a new one
    return stripped, ours or (stripped != text and "otcxr_mm/" in text[: len(text) - len(stripped)])


def _file_that_cannot_be_loaded(error: BaseException, frames: list[FrameType]) -> str | None:
    """The message for torch.load, whose exceptions do not name the file."""
    for frame in frames:
        path = frame.f_locals.get("f")
        if not frame.f_code.co_filename.endswith(_TORCH_LOAD) or not isinstance(path, (str, os.PathLike)):
            continue
        if unsafe := re.search(r"Unsupported (?:global|class)[^\n]*", str(error)):
            what, way = f"holds pickled objects, which are not loaded: {unsafe[0][:200]}", "save its state_dict alone"
        else:
            what, way = "truncated, damaged, or not a checkpoint at all", "copy it again, or name another file"
        return f"{path}: {what} ({type(error).__name__}): {way}"
    return None


def _argument(error: BaseException, frames: list[FrameType]) -> str | None:
    """The message for an argument that a class does not take."""
    if not isinstance(error, TypeError):
        return None
    found = re.search(r"(\w+)(?:\.__init__)?\(\) (got an unexpected keyword|missing \d+ required)", str(error))
    if found is None:
        return None
    for frame in reversed(frames):
        cls, given = frame.f_locals.get("obj_cls"), frame.f_locals.get("args")
        if frame.f_code.co_name != "build_from_cfg" or not isinstance(cls, type):
            cls, given = frame.f_globals.get(found[1]), re.findall(r"argument '(\w+)'", str(error))
        if isinstance(cls, type) and given:
            known = [name for base in cls.__mro__ for name in inspect.signature(base.__init__).parameters]
            known = [name for name in known if name not in ("self", "args", "kwargs")]
            wrong = [name for name in given if name not in known]
            near = get_close_matches(wrong[0], known, 1) if wrong else []
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(dict.fromkeys(known))}"
            return f"{cls.__name__} has no argument {wrong[0]!r}: {hint}" if wrong else None
    return None


def _unknown_type(error: BaseException, frames: list[FrameType]) -> str | None:
    """The message for a type= that no registry knows."""
    frame = frames[-1] if frames else None
    if not isinstance(error, KeyError) or frame is None or "is not in the" not in str(error):
        return None
    name, registry = frame.f_locals.get("obj_type"), frame.f_locals.get("registry")
    if not isinstance(name, str) or registry is None:
        return None
    known = {
        key if part.scope == registry.scope else f"{part.scope}.{key}"
        for part in _family(registry)
        for key in part.module_dict
    }
    near = get_close_matches(name, known, 1) or [key for key in known if key.endswith(f".{name}")]
    hint = f"did you mean {near[0]!r}?" if near else "name the module that registers it in custom_imports"
    return f"type={name!r} of a {registry.name} is unknown: {hint}"


def _family(registry: object) -> list:
    """The root of a registry, and the root's children."""
    root = registry
    while root.parent is not None:
        root = root.parent
    return [root, *root.children.values()]
