"""A folder for the Hugging Face Hub, opened by timm and by this package, on real radiographs."""

import json

import pytest
import torch

import otcxr_mm
from tests.apis.weights import write_backbone
from tests.conftest import write_image

timm = pytest.importorskip("timm")

RESNET = {"base_channels": 64, "stem_channels": 64}
VIT = dict(
    _delete_=True,
    type="VisionTransformer",
    arch=dict(embed_dims=64, num_layers=2, num_heads=2, feedforward_channels=128),
    img_size=32,
    patch_size=8,
    in_channels=1,
    out_type="featmap",
)
TIMM = dict(_delete_=True, type="TIMMBackbone", model_name="resnet10t", features_only=True, in_channels=1)
THREE = {"model.backbone.in_channels": 3, "model.data_preprocessor.channels": 3}


@pytest.fixture(scope="module")
def radiographs(real_data):
    return sorted((real_data / "nih").rglob("*.png"))[:3]


@torch.no_grad()
@pytest.mark.parametrize(
    "changes",
    [
        {f"model.backbone.{key}": value for key, value in RESNET.items()},
        {f"model.backbone.{key}": value for key, value in RESNET.items()} | THREE,
        {"model.backbone": VIT},
        {"model.backbone": TIMM},
    ],
    ids=["resnet", "three channels", "vit", "timm"],
)
def test_timm_computes_the_same(tmp_path, radiographs, changes):
    write_backbone(tmp_path, **changes)
    ours = otcxr_mm.load_backbone(tmp_path)
    folder = otcxr_mm.export_folder(tmp_path, tmp_path / "hub")
    assert {path.name for path in folder.iterdir()} == {"README.md", "config.json", "model.safetensors"}
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images, expected = ours.preprocess(radiographs), ours.embed(radiographs)
    settings = theirs.pretrained_cfg
    mean, std = (torch.tensor(settings[key]).view(-1, 1, 1) for key in ("mean", "std"))
    assert tuple(settings["input_size"]) == (len(mean), *images.shape[2:])
    found = theirs((images / 255 - mean) / std)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    assert torch.equal(otcxr_mm.load_backbone(folder).embed(radiographs), expected)
    assert "hf-hub:OWNER/hub" in (folder / "README.md").read_text()


def test_what_timm_does_not_have_is_opened_by_this_package(tmp_path):
    write_backbone(tmp_path)  # of 8 channels
    write_image(tmp_path / "a.png")
    folder = otcxr_mm.export_folder(tmp_path, tmp_path / "hub")
    assert "architecture" not in json.loads((folder / "config.json").read_text())
    assert "timm" not in (folder / "README.md").read_text()
    expected = otcxr_mm.load_backbone(tmp_path).embed(tmp_path / "a.png")
    assert torch.equal(otcxr_mm.load_backbone(folder).embed(tmp_path / "a.png"), expected)
    assert torch.equal(otcxr_mm.load_backbone(folder / "model.safetensors").embed(tmp_path / "a.png"), expected)


def test_nothing_is_overwritten_unasked(tmp_path):
    write_backbone(tmp_path)
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "README.md").write_text("mine")
    with pytest.raises(FileExistsError, match=r"README\.md is there already"):
        otcxr_mm.export_folder(tmp_path, tmp_path / "hub")
    assert [path.name for path in (tmp_path / "hub").iterdir()] == ["README.md"]
    otcxr_mm.export_folder(tmp_path, tmp_path / "hub", force=True)
    assert "for chest radiographs" in (tmp_path / "hub" / "README.md").read_text()
