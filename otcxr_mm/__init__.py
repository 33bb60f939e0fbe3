"""OTCXR for the MMPretrain ecosystem: self-supervised pre-training on chest radiographs by optimal transport.

Importing the package imports nothing else; `otcxr_mm.X` looks up a public name when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from .version import __version__ as __version__

# modules whose public names are also names of the package; those that load quickly come first
_MODULES = ("datasets", "evaluation", "backbones", "models", "engine", "visualization.tracked", "apis")


def __getattr__(name: str) -> object:
    """Imports a submodule or a public name of one (PEP 562)."""
    if not name.startswith("_"):
        if find_spec(f"{__name__}.{name}"):
            return import_module(f"{__name__}.{name}")
        for module in (import_module(f"{__name__}.{path}") for path in _MODULES):
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    names = (name for path in _MODULES for name in import_module(f"{__name__}.{path}").__all__)
    return ["__version__", "ops", *sorted(names)]
