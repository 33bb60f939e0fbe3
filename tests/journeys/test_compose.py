"""Other networks and algorithms, with the configs that docs/compose.md prints, to linear evaluation."""

import re

import pytest

from tests.conftest import ROOT

from . import options, publishers
from .figures import assert_learnt

PAGE = (ROOT / "docs" / "compose.md").read_text()
CLASSES = ("Pneumonia", "Infiltration")
LINEAR = """
_base_ = ["otcxr_mm::linear_r50_nih.py"]
few = dict(classes={classes})
train_dataloader = dict(dataset=few)
val_dataloader = dict(dataset=few)
test_dataloader = dict(dataset=few)
model = dict({backbone}head=dict(num_classes=2{width}))
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/{name}/backbone.pth"))
"""
SWIN = 'backbone=dict(_delete_=True, type="SwinTransformer", arch="tiny", in_channels=1), '


@pytest.fixture(scope="module")
def planted(tmp_path_factory, real_data):
    return publishers.nih(tmp_path_factory.mktemp("nih") / "nih", real_data, publishers.SMALL, CLASSES)


def printed(name: str) -> str:
    """A config of the page."""
    return re.search(rf"^```python\n# {name}\.py.*?\n(.*?)^```", PAGE, re.M | re.S)[1]


@pytest.mark.parametrize("name", ["otcxr_swin", "swin_barlow_cvsim", "byol_cvsim"])
def test_a_backbone_of_another_recipe(name, otcxr, planted, tmp_path):
    env = {"OTCXR_NIH": planted.root}
    (tmp_path / f"{name}.py").write_text(printed(name))
    swin = "swin" in name
    linear = LINEAR.format(
        classes=CLASSES, name=name, backbone=SWIN if swin else "", width=", in_channels=768" if swin else ""
    )
    (tmp_path / "linear.py").write_text(linear)
    # Swin's windows need the 224 pixels of the config; a ResNet's batch norm needs some more images
    few = options.loaders(2, "train") if swin else options.crops(64)
    indices = [f"train_dataloader.dataset.indices={2 if swin else 8}"]
    otcxr("train", f"{name}.py", *options.cfg(few, indices, options.ONE_EPOCH), cwd=tmp_path, env=env, check=True)
    size = [] if swin else options.size(96)
    args = options.cfg(options.loaders(16), size, options.DECAYS)
    otcxr("train", "linear.py", *args, cwd=tmp_path, env=env, check=True)
    otcxr("test", "work_dirs/linear", cwd=tmp_path, env=env, check=True)
    # an untrained Swin says less of a texture than a ResNet
    assert_learnt(tmp_path / "work_dirs" / "linear", planted, 0.85 if swin else 0.95)
