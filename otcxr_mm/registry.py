"""Registries of this package: direct children of MMEngine's root.

So `otcxr_mm.X` resolves from every default scope (mmpretrain, mmseg, ...) without `custom_imports`. A child of
MMPretrain's registries would be invisible to its siblings.
"""

from mmengine import registry as root
from mmengine.config import Config
from mmengine.config import utils as config_utils
from mmengine.registry import Registry

from .apis.configs import config_text, find_config

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


def _child(name: str, parent: Registry, location: str) -> Registry:
    return Registry(name, parent=parent, scope="otcxr_mm", locations=[location])


MODELS = _child("model", root.MODELS, "otcxr_mm.models")
DATASETS = _child("dataset", root.DATASETS, "otcxr_mm.datasets")
TRANSFORMS = _child("transform", root.TRANSFORMS, "otcxr_mm.datasets")
HOOKS = _child("hook", root.HOOKS, "otcxr_mm.engine")
LOOPS = _child("loop", root.LOOPS, "otcxr_mm.engine")
OPTIM_WRAPPERS = _child("optim_wrapper", root.OPTIM_WRAPPERS, "otcxr_mm.engine")
METRICS = _child("metric", root.METRICS, "otcxr_mm.evaluation")
VISUALIZERS = _child("visualizer", root.VISUALIZERS, "otcxr_mm.visualization.tracked")
