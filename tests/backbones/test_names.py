"""Weights of other libraries under their genuine names: the network then computes what the original does."""

import pytest
import torch
from mmpretrain.models import DenseNet, ResNet, TIMMBackbone, VisionTransformer

from otcxr_mm.backbones import load_backbone_weights

SMALL = dict(embed_dim=48, depth=2, num_heads=2, patch_size=14, img_size=70)
ARCH = dict(embed_dims=48, num_layers=2, num_heads=2, feedforward_channels=192)


@pytest.fixture
def timm():
    return pytest.importorskip("timm")


def dinov2(timm):
    """A small DINOv2 of timm with scales that matter."""
    model = timm.models.vision_transformer.VisionTransformer(**SMALL, init_values=1.0, num_classes=0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.02 if parameter.dim() == 1 else 0, 0.3)
    return model.eval()


def huggingface(state):
    """The names of transformers' Dinov2Model, which RAD-DINO has."""
    found = {}
    for name, value in state.items():
        new = name.replace("patch_embed.proj.", "embeddings.patch_embeddings.projection.")
        new = {"cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings"}.get(new, new)
        new = new.replace("blocks.", "encoder.layer.").replace("attn.proj.", "attention.output.dense.")
        new = new.replace("ls1.gamma", "layer_scale1.lambda1").replace("ls2.gamma", "layer_scale2.lambda1")
        new = "layernorm." + new.removeprefix("norm.") if new.startswith("norm.") else new
        if "attn.qkv." in new:
            for part, matrix in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[new.replace("attn.qkv.", f"attention.attention.{part}.")] = matrix.clone()
        else:
            found[new] = value
    return {**found, "embeddings.mask_token": torch.zeros(1, state["cls_token"].shape[-1])}


FORMS = {
    "timm": lambda state: {**state, "head.weight": torch.zeros(3, 48)},
    "dinov2": lambda state: {**state, "mask_token": torch.zeros(1, 48)},
    "transformers": huggingface,
    "dinov2 inside": lambda state: {f"dinov2.{name}": value for name, value in huggingface(state).items()},
}


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", ["mmpretrain", "timm"])
def test_a_dinov2_computes_the_same(timm, tmp_path, form, target):
    model = dinov2(timm)
    torch.save(FORMS[form](model.state_dict()), tmp_path / "w.pth")
    if target == "mmpretrain":
        backbone = VisionTransformer(ARCH, 70, 14, out_type="cls_token", layer_scale_init_value=1.0)
    else:
        backbone = TIMMBackbone("vit_small_patch14_dinov2", in_channels=3, init_values=1.0, **SMALL)
    backbone.eval()
    load_backbone_weights(backbone, tmp_path / "w.pth")
    images = torch.randn(2, 3, 70, 70)
    (found,) = backbone(images)
    tokens = model.forward_features(images)
    torch.testing.assert_close(found, tokens[:, 0] if found.dim() == 2 else tokens, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_one_channel_and_another_grid(timm, tmp_path):
    """A grey image gives what three equal channels give, and the codes of a finer grid run as those of the coarse."""
    model = dinov2(timm)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    grey = VisionTransformer(ARCH, 70, 14, in_channels=1, out_type="cls_token", layer_scale_init_value=1.0)
    grey.eval()
    load_backbone_weights(grey, tmp_path / "w.pth")
    image = torch.randn(2, 1, 70, 70)
    expected = model.forward_features(image.expand(-1, 3, -1, -1))[:, 0]
    torch.testing.assert_close(grey(image)[0], expected, rtol=1e-4, atol=1e-4)
    ramp = torch.linspace(0, 1, 5).view(1, 1, 5, 1).expand(1, 5, 5, 48)
    state = model.state_dict()
    state["pos_embed"] = torch.cat([torch.full((1, 1, 48), 7.0), ramp.reshape(1, 25, 48)], 1)
    torch.save(state, tmp_path / "w.pth")
    finer = VisionTransformer(ARCH, 140, 14, in_channels=1, layer_scale_init_value=1.0)
    load_backbone_weights(finer, tmp_path / "w.pth")
    assert torch.equal(finer.pos_embed[:, :1], state["pos_embed"][:, :1])
    rows = finer.pos_embed[0, 1:, 0].view(10, 10)
    assert torch.allclose(rows, rows[:1]) and (rows[0].diff() > -1e-6).all()


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch16_dinov3", "resnet10t", "convnext_atto"])
def test_timm_fills_its_own_models_with_features_only(timm, tmp_path, name):
    model = timm.create_model(name, num_classes=2)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    backbone = TIMMBackbone(name, features_only=True, in_channels=1)
    load_backbone_weights(backbone, tmp_path / "w.pth")
    state, filled = model.state_dict(), backbone.state_dict()
    checked = 0
    for key, value in filled.items():
        plain = key.removeprefix("timm_model.").removeprefix("model.")
        original = state.get(plain, state.get(plain.replace("stages_", "stages.").replace("stem_", "stem.")))
        if original is not None and original.shape == value.shape:
            assert torch.equal(value, original), key
            checked += 1
    assert checked >= len(filled) - 3  # the stem, and what timm names otherwise


def test_the_original_dinov3_fills_timms(timm, tmp_path):
    """Genuine names of facebookresearch/dinov3: storage tokens, scales, masks of biases, periods of the codes."""
    model = timm.create_model("vit_small_patch16_dinov3", num_classes=0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    state = {}
    for name, value in model.state_dict().items():
        new = name.replace("reg_token", "storage_tokens").replace("gamma_1", "ls1.gamma")
        state[new.replace("gamma_2", "ls2.gamma")] = value
        if name.endswith("attn.qkv.weight"):
            state[name.replace("weight", "bias")] = torch.zeros(len(value))
            state[name.replace("weight", "bias_mask")] = torch.ones(len(value))
    state |= {"mask_token": torch.zeros(1, 384), "rope_embed.periods": torch.ones(16)}
    torch.save(state, tmp_path / "w.pth")
    backbone = TIMMBackbone("vit_small_patch16_dinov3", features_only=True)
    load_backbone_weights(backbone, tmp_path / "w.pth")
    filled = backbone.timm_model.model.state_dict()
    assert all(torch.equal(filled[name], value) for name, value in model.state_dict().items() if name in filled)


@torch.no_grad()
def test_a_densenet_of_torchxrayvision_computes_the_same(tmp_path):
    """Its names are torchvision's, and op_threshs beside them; one channel, 18 findings."""
    from torchvision.models import DenseNet as Theirs

    model = Theirs(8, (2, 2, 2, 2), 16, num_classes=18)
    model.features.conv0 = torch.nn.Conv2d(1, 16, 7, 2, 3, bias=False)
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.1, 0.5)
    model.eval()
    torch.save({**model.state_dict(), "op_threshs": torch.zeros(18)}, tmp_path / "w.pth")
    backbone = DenseNet(dict(growth_rate=8, depths=[2, 2, 2, 2], init_channels=16), in_channels=1)
    backbone.eval()
    load_backbone_weights(backbone, tmp_path / "w.pth")
    images = torch.randn(2, 1, 64, 64)
    torch.testing.assert_close(backbone(images)[-1], model.features(images).relu(), rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused_by_the_first_name(timm, tmp_path):
    state = dinov2(timm).state_dict()
    torch.save({name: value for name, value in state.items() if ".ls" not in name}, tmp_path / "w.pth")
    backbone = VisionTransformer(ARCH, 70, 14, layer_scale_init_value=1.0)
    with pytest.raises(ValueError, match=r"missing: layers\.0\.attn\.gamma1\.weight"):
        load_backbone_weights(backbone, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"missing: conv1\.weight"):
        load_backbone_weights(ResNet(18), tmp_path / "w.pth")
