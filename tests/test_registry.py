import inspect

import pytest
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import (
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    TRANSFORMS,
    VISUALIZERS,
    DefaultScope,
    build_from_cfg,
)

import otcxr_mm


def registry_of(cls):
    from mmcv.transforms import BaseTransform
    from mmengine.dataset import BaseDataset
    from mmengine.evaluator import BaseMetric
    from mmengine.hooks import Hook
    from mmengine.optim import OptimWrapper
    from mmengine.runner import BaseLoop
    from mmengine.visualization import Visualizer
    from torch import nn

    if inspect.isfunction(cls):  # builds a model of a package that is imported then
        return MODELS
    kinds = [(nn.Module, MODELS), (Hook, HOOKS), (BaseLoop, LOOPS), (OptimWrapper, OPTIM_WRAPPERS)]
    kinds += [(BaseMetric, METRICS), (BaseDataset, ROOT_DATASETS), (BaseTransform, TRANSFORMS)]
    kinds += [(Visualizer, VISUALIZERS)]
    return next(registry for base, registry in kinds if issubclass(cls, base))


# no part of a config
PLAIN = (
    "__version__",
    "ops",
    "BaseCXRDataset",
    "PackedImages",
    "load_backbone",
    "pack_images",
    "save_backbone",
    "write_selection",
)


@pytest.mark.parametrize("name", [n for n in otcxr_mm.__all__ if n not in PLAIN])
@pytest.mark.parametrize("scope", ["mmengine", "mmpretrain", "mmseg"])
def test_every_public_class_resolves_by_its_prefixed_name_from_any_scope(name, scope):
    cls = getattr(otcxr_mm, name)
    with DefaultScope.overwrite_default_scope(scope):
        registry = registry_of(cls)
        assert registry.get(f"otcxr_mm.{name}") is cls


def test_mmpretrain_builds_ours_and_ours_keeps_mmpretrains_names():
    from mmpretrain.registry import MODELS as MMPRETRAIN

    neck = build_from_cfg(dict(type="otcxr_mm.CVSIM", in_channels=8, embed_dims=16), MMPRETRAIN)
    assert isinstance(neck, otcxr_mm.CVSIM)


def test_public_names():
    assert otcxr_mm.__version__
    assert "OTCXR" in dir(otcxr_mm)
    assert inspect.ismodule(otcxr_mm.ops)
    with pytest.raises(AttributeError, match="no attribute 'OTCXRR'"):
        otcxr_mm.OTCXRR  # noqa: B018
    for name in otcxr_mm.__all__:
        assert getattr(otcxr_mm, name) is not None
