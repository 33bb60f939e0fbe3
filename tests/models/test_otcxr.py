import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

import otcxr_mm
from otcxr_mm.models.selfsup.otcxr import channels_last
from tests.models.test_cvsim import awake, silent

BACKBONE = dict(type="ResNet", depth=18, base_channels=16, stem_channels=16, in_channels=1, out_indices=(2, 3))
NECK = dict(type="otcxr_mm.CVSIM", in_channels=(64, 128), embed_dims=32, num_heads=2, hidden_channels=64)
NECK["out_channels"] = 32
HEAD = dict(type="otcxr_mm.OTHead")


def model(neck=None, head=None, **kwargs):
    made = otcxr_mm.OTCXR(dict(BACKBONE), {**NECK, **(neck or {})}, {**HEAD, **(head or {})}, **kwargs)
    made.init_weights()
    awake(made.backbone)
    return made


def batch(b=4, size=64, geometry=True):
    views = [torch.randint(0, 256, (b, 1, size, size), dtype=torch.uint8) for _ in range(2)]
    samples = []
    for _ in range(b):
        samples.append(DataSample())
        if geometry:
            matrix = np.array([[0.6, 0, 0.1], [0, 0.6, 0.2]], np.float32)
            samples[-1].set_metainfo({"view_to_image": np.stack([matrix, matrix + 0.05])})
    return {"inputs": views, "data_samples": samples}


def losses(m, data):
    return m(**m.data_preprocessor(data, True), mode="loss")


def total(values):
    return sum(v for k, v in values.items() if "loss" in k)


@pytest.mark.parametrize(
    ("neck", "head", "kwargs"),
    [
        ({}, {}, {}),
        ({"infusion": "none"}, {}, {}),
        ({"infusion": "source", "detach_context": False}, {}, {}),
        ({"norm": "ln"}, {"marginals": "visibility", "prior_scale": 0.25}, {}),
        ({}, {"guard": True, "marginals": "visibility"}, {"ema": 0.01}),
        ({}, {"global_mass": 0.0}, {}),
        ({"global_token": "mean"}, {"global_mass": 0.0, "statistics": "tokens"}, {}),
        ({"global_token": "mean"}, {"guard": True, "marginals": "visibility"}, {"ema": 0.01}),
        ({"blind": 0.3, "masked": 0.2}, {"guard": True, "pairs": {"matching": "softmax"}}, {"ema": 0.01}),
    ],
)
def test_every_parameter_gets_a_gradient(neck, head, kwargs):
    m = model(neck, head, **kwargs)
    if m.target is not None:
        m.sync_target()
    result = losses(m, batch())
    assert {"loss_ot", "loss_var", "loss_cov", "ot_partners", "ot_mass", "ot_marginal_error"} == set(result)
    total(result).backward()
    assert silent(m) == []
    if m.target is not None:
        assert all(p.grad is None for p in m.target.parameters())


def test_channels_last_changes_the_layout_alone():
    m = model(data_preprocessor=dict(type="otcxr_mm.CXRDataPreprocessor"), channels_last=True).double()
    data = m.data_preprocessor(batch(), True)
    data["inputs"] = [view.double() for view in data["inputs"]]
    seen = []
    m.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    first, m.channels_last = m(**data, mode="loss"), False
    second = m(**data, mode="loss")
    torch.testing.assert_close(first, second)
    assert torch.equal(seen[0], seen[2])
    assert seen[0].stride() == (64 * 64, 1, 64, 1) != seen[2].stride()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_view_with_the_channels_last_is_one_for_convolutions(channels):
    view = channels_last(torch.randn(2, 1, 4, 6).expand(-1, channels, -1, -1))
    assert view.stride() == (24 * channels, 1, 6 * channels, channels)
    assert torch.nn.Conv2d(channels, 4, 1)(view).is_contiguous(memory_format=torch.channels_last)


def test_target_starts_where_the_online_network_is_and_nothing_else_moves_it():
    m = model(ema=0.1)
    with pytest.raises(RuntimeError, match="EMATargetHook"):
        losses(m, batch())
    m.sync_target()
    for a, b in zip(m.target.module.parameters(), m.online.parameters(), strict=True):
        assert torch.equal(a, b)
    before = [p.clone() for p in m.target.parameters()]
    total(losses(m, batch())).backward()
    assert all(torch.equal(a, b) for a, b in zip(before, m.target.parameters(), strict=True))


def test_geometry_must_come_with_the_samples():
    m = model(head={"marginals": "visibility"})
    with pytest.raises(ValueError, match="need view_to_image.*otcxr_mm.TwoViewCrop and otcxr_mm.PackViews"):
        losses(m, batch(geometry=False))
    assert torch.isfinite(total(losses(model(), batch(geometry=False))))


@pytest.mark.parametrize(
    ("head", "kwargs", "message"),
    [
        (
            {},
            {"data_preprocessor": dict(type="otcxr_mm.CXRDataPreprocessor", channels=3)},
            "takes 1 channels, .* gives 3",
        ),
        ({"global_mass": 0.0, "statistics": "tokens"}, {}, "set model.neck.global_token='mean'"),
        ({"global_mass": 0.0, "statistics": "flattened"}, {}, "set model.neck.global_token='mean'"),
        ({}, {"ema": 1.0}, r"ema is a momentum in \(0, 1\), or None, got 1.0"),
    ],
)
def test_wrong_set_ups_are_named_before_training(head, kwargs, message):
    with pytest.raises(ValueError, match=message):
        otcxr_mm.OTCXR(BACKBONE, NECK, {**HEAD, **head}, **kwargs)


def test_three_views_are_refused():
    with pytest.raises(ValueError, match="two views, got 3"):
        model().loss([torch.zeros(2, 1, 64, 64)] * 3, [])
