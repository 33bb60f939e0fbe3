"""What importing this module changes in MMEngine's configs; `custom_imports` of every config does so."""

from mmengine.config import Config
from mmengine.config import utils as config_utils

from .configs import config_text, find_config

# lets `mmengine.hub.get_config("otcxr_mm::...")` find the package
config_utils.MODULE2PACKAGE.setdefault("otcxr_mm", "otcxr_mm")

_path_of_base = Config._get_cfg_path


def _path_of_own_base(cfg_path: str, filename: str) -> tuple[str, str | None]:
    """Where a base of a config is. `otcxr_mm::otcxr_r50_nih.py` is a config of this package.

    MMEngine's own way needs a slash in the name and, at 0.10.7, pkg_resources; and it has the names in that base looked
    up among ours first.
    """
    if cfg_path.startswith("otcxr_mm::"):
        return str(find_config(cfg_path)), None
    return _path_of_base(cfg_path, filename)


Config._get_cfg_path = staticmethod(_path_of_own_base)
Config.pretty_text = property(config_text)  # MMEngine's sorts keys, and with them classes
