import inspect

import pytest
from mmengine.registry import DefaultScope, Registry, build_from_cfg

import otcxr_mm
from otcxr_mm import registry

REGISTRIES = [kind for kind in vars(registry).values() if isinstance(kind, Registry)]
# no part of a config
PLAIN = {"__version__", "ops", "BaseCXRDataset", "PackedImages", "PatientPairs", "Records", "Atoms", "Tokens"}
PLAIN |= {"export_backbone", "export_folder", "export_graph", "load_backbone", "load_backbone_weights"}
PLAIN |= {"match_images", "pack_images", "save_backbone"}
PLAIN |= {"CXRBackbone", "CXRClassifierInferencer", "CXRFeatureInferencer", "CXRSegmentorInferencer"}


@pytest.mark.parametrize("name", sorted(set(dir(otcxr_mm)) - PLAIN))
def test_a_public_class_is_registered_and_found_from_every_scope(name):
    cls = getattr(otcxr_mm, name)
    # Registry.get takes an unregistered otcxr_mm.X for an import path
    (kind,) = [kind for kind in REGISTRIES if kind.module_dict.get(name) is cls]
    for scope in ("mmpretrain", "mmseg"):
        with DefaultScope.overwrite_default_scope(scope):
            assert kind.parent.get(f"otcxr_mm.{name}") is cls


@pytest.mark.parametrize("scope", ["mmpretrain", "mmseg"])
def test_the_registry_of_another_package_builds_ours(scope):
    models = pytest.importorskip(f"{scope}.registry").MODELS
    with DefaultScope.overwrite_default_scope(scope):
        assert isinstance(build_from_cfg(dict(type="otcxr_mm.CVSIM", in_channels=8), models), otcxr_mm.CVSIM)


def test_public_names():
    assert inspect.ismodule(otcxr_mm.ops)
    with pytest.raises(AttributeError, match="no attribute 'OTCXRR'"):
        otcxr_mm.OTCXRR  # noqa: B018
