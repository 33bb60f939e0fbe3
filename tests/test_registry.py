import inspect

import pytest
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import (
    DATASETS,
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
from mmengine.runner import BaseLoop
from mmengine.visualization import Visualizer
from torch import nn

import otcxr_mm

KINDS = {Hook: HOOKS, BaseLoop: LOOPS, OptimWrapper: OPTIM_WRAPPERS, BaseMetric: METRICS, nn.Module: MODELS}
KINDS |= {BaseDataset: DATASETS, BaseTransform: TRANSFORMS, Visualizer: VISUALIZERS}


def registry_of(cls):
    if inspect.isfunction(cls):  # builds a model of a package that is imported then
        return MODELS
    return next(registry for base, registry in KINDS.items() if issubclass(cls, base))


# no part of a config
PLAIN = {"__version__", "ops", "BaseCXRDataset", "PackedImages"}
PLAIN |= {"export_backbone", "load_backbone", "pack_images", "save_backbone"}


@pytest.mark.parametrize("scope", ["mmengine", "mmpretrain", "mmseg"])
def test_every_public_class_resolves_by_its_prefixed_name_from_any_scope(scope):
    with DefaultScope.overwrite_default_scope(scope):
        for name in set(otcxr_mm.__all__) - PLAIN:
            cls = getattr(otcxr_mm, name)
            assert registry_of(cls).get(f"otcxr_mm.{name}") is cls, name


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
