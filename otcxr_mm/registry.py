"""Registries of this package: direct children of MMEngine's root.

So `otcxr_mm.X` resolves from every default scope (mmpretrain, mmseg, ...) without `custom_imports`. A child of
MMPretrain's registries would be invisible to its siblings.
"""

from mmengine import registry as root
from mmengine.registry import Registry


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
STRATEGIES = _child("strategy", root.STRATEGIES, "otcxr_mm.engine")
