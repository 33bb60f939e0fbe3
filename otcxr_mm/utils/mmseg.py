"""MMSegmentation, which the rest of the package does without."""

from importlib import import_module
from types import ModuleType

HINT = (
    "on the OneDL line of OpenMMLab, pip install --no-deps onedl-mmsegmentation==1.4.2 ftfy prettytable regex wcwidth "
    "(`pip install mmseg` is a Chinese tokeniser)"
)


def require_mmseg(what: str, module: str = "mmseg.registry") -> ModuleType:
    """A module of MMSegmentation.

    Args:
        what: What needs it; the error names it.
        module: Full name of the module, MMSegmentation's or one of ours that imports it.

    Raises:
        ImportError: In one line, with what to install, if MMSegmentation is missing, is another package of that name,
            or refuses this MMCV.
    """
    try:
        import_module("mmseg.registry")
        return import_module(module)
    except (ImportError, AssertionError) as error:  # upstream's asserts that MMCV is older than 2.2
        reason = str(error).partition("\n")[0]
    raise ImportError(f"{what} needs MMSegmentation ({reason}): {HINT}")
