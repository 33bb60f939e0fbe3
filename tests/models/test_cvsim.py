import pytest
import torch
from mmpretrain.registry import MODELS
from torch import nn

import otcxr_mm
from otcxr_mm.models.necks.attention import PositionalAttention

# the backbones of MMPretrain that users name most, each in its smallest form: config, channels of its stages, input
RESNET = dict(type="ResNet", depth=18, in_channels=1, out_indices=(2, 3))
VIT = dict(type="VisionTransformer", arch="deit-tiny", img_size=64, patch_size=16, out_type="featmap")
CONVNEXT = dict(type="ConvNeXt", arch="atto", in_channels=1, out_indices=(2, 3), gap_before_final_norm=False)
SWIN = dict(type="SwinTransformer", arch="tiny", img_size=64, out_indices=(2, 3), pad_small_map=True)
TIMM = dict(type="TIMMBackbone", model_name="resnet10t", in_channels=1, features_only=True, out_indices=(3, 4))
BACKBONES = {
    "ResNet": (RESNET, (256, 512), 1),
    "DenseNet": (dict(type="DenseNet", arch="121", in_channels=1, out_indices=(2, 3)), (512, 1024), 1),
    "ConvNeXt": (CONVNEXT, (160, 320), 1),
    "Swin": (SWIN, (384, 768), 3),
    "ViT": (VIT, (192,), 3),
    "EfficientNet": (dict(type="EfficientNet", arch="b0", out_indices=(5, 6)), (320, 1280), 3),
    "RegNet": (dict(type="RegNet", arch="regnetx_400mf", in_channels=1, out_indices=(2, 3)), (160, 384), 1),
    "TIMM": (TIMM, (256, 512), 1),
}


def awake(backbone):
    """Residual branches start with a norm of zero weight, behind which every gradient is zero: give it some."""
    for module in backbone.modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)) and not weight.any():
            nn.init.constant_(weight, 0.5)
    return backbone.train()


def feats(channels=(8, 16), sizes=(6, 3), b=2):
    return [torch.randn(b, c, s, s, requires_grad=True) for c, s in zip(channels, sizes, strict=True)]


def small(**kwargs):
    widths = dict(embed_dims=16, num_heads=2, hidden_channels=32, out_channels=24, global_token="mean")
    return otcxr_mm.CVSIM((8, 16), **{**widths, **kwargs})


def silent(module):
    """Parameters without any gradient."""
    parameters = ((name, p.grad) for name, p in module.named_parameters() if p.requires_grad)
    return [name for name, grad in parameters if grad is None or not grad.abs().sum() > 0]


@pytest.mark.parametrize("name", BACKBONES)
def test_composes_with_the_backbone(name):
    if name == "TIMM":
        pytest.importorskip("timm")
    cfg, channels, width = BACKBONES[name]
    backbone, neck = MODELS.build(cfg), otcxr_mm.CVSIM(channels, embed_dims=64, num_heads=4)
    backbone.init_weights()
    awake(backbone)
    q_s, q_t = neck(backbone(torch.randn(2, width, 64, 64)), backbone(torch.randn(2, width, 64, 64)))
    assert q_s.dense.shape == q_t.dense.shape == (2, q_s.grid[0] * q_s.grid[1], 512)
    assert q_s.global_.shape == q_t.global_.shape == (2, 1, 512)
    assert q_s.dense.shape[1] <= 49
    x, y = (torch.cat([q.dense, q.global_], 1) for q in (q_s, q_t))
    (x.square().mean() - 3 * y.mean() + (x * y).mean()).backward()
    assert silent(backbone) + silent(neck) == []


@pytest.mark.parametrize("out", ["pooled", "tokens", "map"])
@pytest.mark.parametrize("infusion", ["both", "source", "none"])
def test_a_single_view_uses_every_parameter(out, infusion):
    neck = small(out=out, infusion=infusion, detach_context=False)
    (result,) = neck(feats())
    assert result.shape == {"pooled": (2, 24), "tokens": (2, 36, 24), "map": (2, 24, 6, 6)}[out]
    (result.square().mean() + result[0].mean()).backward()
    assert silent(neck) == []


@pytest.mark.parametrize("out", ["pooled", "tokens"])
def test_a_global_token_of_its_own(out):
    neck = small(global_token="own", out=out, detach_context=False)
    x, y = feats(), feats()
    q_s, q_t = neck(x, y, plain=True)
    assert q_s.dense.shape == q_t.dense.shape == (2, 36, 24)
    assert q_s.grid == (6, 6)
    # no infusion reaches it
    torch.testing.assert_close(q_s.global_, q_s.plain.global_)
    torch.testing.assert_close(q_s.pooled[:, 0], neck.global_projector(x[-1].mean((2, 3))))
    (single,) = neck(x)
    assert single.shape == {"pooled": (2, 24), "tokens": (2, 37, 24)}[out]
    (single.square().mean() + single[0].mean()).backward()
    assert silent(neck) == []
    assert small(global_token="own", out="map")(x)[0].shape == (2, 24, 6, 6)


@pytest.mark.parametrize(
    ("size", "max_tokens", "grid"),
    [((14, 14), 49, (7, 7)), ((6, 6), 49, (6, 6)), ((12, 12), 36, (6, 6)), ((20, 10), 49, (9, 4)), ((3, 3), 1, (1, 1))],
)
def test_grid(size, max_tokens, grid):
    neck = small(max_tokens=max_tokens)
    assert neck.grid([torch.zeros(1, 8, *size), torch.zeros(1, 16, size[0] // 2, size[1] // 2)]) == grid


@pytest.mark.parametrize(
    ("infusion", "source_changes", "target_changes"),
    [("both", True, True), ("source", True, False), ("none", False, False)],
)
def test_infusion_brings_the_other_view_in(infusion, source_changes, target_changes):
    a, b, c = feats(), feats(), feats()
    neck = small(infusion=infusion).eval()
    one, other = neck(a, b, plain=True)[0], neck(a, c, plain=True)[0]
    assert torch.equal(one.dense, other.dense) != source_changes
    assert torch.equal(neck(b, a)[1].dense, neck(c, a)[1].dense) != target_changes
    # the plain tokens never see the other view
    assert torch.equal(one.plain.dense, other.plain.dense)
    assert neck(a, b)[0].plain is None


@pytest.mark.parametrize("detach", [True, False])
def test_detached_context_sends_no_gradient_to_the_other_view(detach):
    neck = small(infusion="source", detach_context=detach)
    a, b = feats(), feats()
    neck(a, b)[0].dense.square().mean().backward()
    assert a[0].grad.abs().sum() > 0
    assert b[0].grad.any() != detach


def test_position_enters_queries_and_keys_only():
    # with one value for all tokens, attention must return it whatever the positions: nothing else can carry them
    neck = small(infusion="none", out="tokens").eval()
    (tokens,) = neck([torch.ones(1, 8, 6, 6), torch.ones(1, 16, 3, 3)])
    torch.testing.assert_close(tokens, tokens.mean(1, keepdim=True).expand_as(tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ([[torch.zeros(2, 16, 3, 3)]], "expects 2 stages, the backbone returns 1: set its out_indices"),
        ([[torch.zeros(2, 8, 6, 6), torch.zeros(2, 32, 3, 3)]], r"stage 1 .*\(B, 16, h, w\), got \(2, 32, 3, 3\)"),
        ([[torch.zeros(2, 8), torch.zeros(2, 16)]], r"stage 0 .*got \(2, 8\).*out_type='featmap' for a ViT"),
        ([feats(), feats(sizes=(4, 2))], "both views need the same grid"),
    ],
)
def test_wrong_maps_are_named(views, message):
    with pytest.raises(ValueError, match=message):
        small()(*views)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"infusion": "target"}, "infusion is one of"),
        ({"gate": 0}, "gate must be > 0, got 0"),
        ({"embed_dims": 30}, "embed_dims must be a multiple of 4"),
    ],
)
def test_arguments_are_checked(kwargs, message):
    with pytest.raises(ValueError, match=message):
        small(**kwargs)


def frame(b=2):
    """Both views show the whole image."""
    return torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(b, 2, 2, 3)


@pytest.mark.parametrize("radius", [0.2, 0.45])
def test_a_blind_token_sees_nothing_near_its_own_place(radius):
    neck = small(infusion="both", detach_context=False, blind=radius).eval()
    source, target = feats(), feats()
    embedded, position = neck._embed(target)
    embedded = embedded.detach().requires_grad_()
    near = neck._near(frame(), (6, 6))
    infused = neck._infuse(neck._embed(source)[0].detach(), embedded, position, near)
    cells = (torch.stack([torch.arange(36) % 6, torch.arange(36) // 6], 1) + 0.5) / 6
    for token in (0, 14, 35):
        seen = torch.autograd.grad(infused[0, token].square().sum(), embedded, retain_graph=True)[0][0].abs().sum(1) > 0
        distance = (cells - cells[token]).square().sum(1).sqrt()
        assert torch.equal(seen, distance >= radius)
    q_s, _ = neck(source, target, view_to_image=frame())
    assert not torch.allclose(q_s.dense, small(infusion="none")(source, target)[0].dense)
    with pytest.raises(ValueError, match="blind=.* needs view_to_image"):
        neck(source, target)


def test_a_token_that_sees_nothing_stays_as_it_is():
    neck = small(blind=9.0).eval()
    source, target = feats(), feats()
    q_s, q_t = neck(source, target, plain=True, view_to_image=frame())
    torch.testing.assert_close(q_s.dense, q_s.plain.dense)
    torch.testing.assert_close(q_t.dense, q_t.plain.dense)
    q_s.dense.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in neck.parameters() if p.grad is not None)


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("hidden", [True, False])
def test_attention_is_that_of_torch(within, hidden):
    attend = PositionalAttention(16, 2).double()
    tokens, other = (torch.randn(3, 5, 16, dtype=torch.float64, requires_grad=True) for _ in range(2))
    context, position = tokens if within else other, torch.randn(1, 5, 16, dtype=torch.float64)
    mask = (torch.rand(3, 5, 5) < 0.5) & ~torch.eye(5, dtype=torch.bool) if hidden else None
    values = attend.norm(context)
    expected, _ = attend.attention(
        attend.norm(tokens) + position,
        values + position,
        values,
        attn_mask=None if mask is None else mask.repeat_interleave(2, 0),
    )
    found = attend(tokens, context, position, mask)
    torch.testing.assert_close(found, expected)
    wanted = [tokens, *([] if within else [other]), *attend.parameters()]
    ours, theirs = (torch.autograd.grad(x.square().sum(), wanted) for x in (found, expected))
    torch.testing.assert_close(ours, theirs)


def test_masked_context_is_drawn_in_training_alone():
    neck, views = small(masked=0.5, norm="ln"), (feats(), feats())
    first, second = (neck(*views)[0].dense for _ in range(2))
    assert not torch.allclose(first, second)
    neck.eval()
    whole = small(norm="ln").eval()
    whole.load_state_dict(neck.state_dict())
    torch.testing.assert_close(neck(*views)[0].dense, whole(*views)[0].dense)


@pytest.mark.parametrize("wrong", [dict(blind=-0.1), dict(masked=1.0), dict(masked=-0.1)])
def test_an_infusion_that_sees_too_little_or_too_much_is_refused(wrong):
    with pytest.raises(ValueError, match="blind must be at least 0 and masked in"):
        small(**wrong)
