"""torch.compile and recomputed activations: the same training, in one graph or with less memory."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from otcxr_mm import CompileHook
from tests.conftest import ROOT, write_image

RESNET = dict(type="mmpretrain.ResNet", depth=18, in_channels=1, stem_channels=8, base_channels=8, out_indices=(2, 3))
VIT = dict(type="mmpretrain.VisionTransformer", img_size=32, patch_size=8, in_channels=1, out_type="featmap")
VIT["arch"] = dict(embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=64)


def train(folder, monkeypatch, name, hooks=()):
    """The losses and the checkpoint of two iterations of a network without random draws."""
    for i in range(8):
        write_image(folder / "images" / f"{i}.png", (40, 40), 20 * i)
    monkeypatch.setenv("TINY_DATA", str(folder / "images"))
    cfg = Config.fromfile(ROOT / "tests" / "tiny.py")
    cfg.model.update(ema=None)
    cfg.model.backbone.update(drop_rate=0.0, drop_path_rate=0.0)
    cfg.train_cfg.max_epochs, cfg.custom_hooks = 1, list(hooks)
    cfg.model.backbone.arch.num_layers = 1
    cfg.work_dir, cfg.experiment_name = str(folder / name), f"{folder.name}_{name}"
    runner = Runner.from_cfg(cfg)
    runner.train()
    runner.save_checkpoint(cfg.work_dir, "last.pth")
    assert "forward" not in vars(runner.model.backbone)
    saved = torch.load(folder / name / "last.pth", weights_only=True)["state_dict"]
    return runner.message_hub.get_scalar("train/loss").data[0], saved


def test_a_compiled_backbone_is_one_graph_and_trains_the_same(tmp_path, monkeypatch):
    hook = dict(type="otcxr_mm.CompileHook", backend="aot_eager", fullgraph=True)
    losses, weights = train(tmp_path, monkeypatch, "eager")
    compiled, others = train(tmp_path, monkeypatch, "compiled", [hook])
    assert len(losses) == 2
    assert compiled == pytest.approx(losses, rel=1e-5)
    assert list(others) == list(weights)  # without _orig_mod
    assert max((others[name] - value).abs().max() for name, value in weights.items()) < 1e-4


@pytest.mark.parametrize("backbone", [RESNET, VIT], ids=["ResNet", "ViT"])
def test_backbones_compile_without_graph_breaks(backbone):
    made = MODELS.build({**backbone, **({"drop_path_rate": 0.1} if backbone is VIT else {})})
    made.train()
    hook = CompileHook(backend="aot_eager", fullgraph=True)
    hook.before_train(SimpleNamespace(model=nn.ModuleDict({"backbone": made}), logger=logging.getLogger()))
    assert all(map_.isfinite().all() for map_ in made(torch.randn(2, 1, 32, 32)))


def gradients(backbone, recompute=()):
    """Gradients of a step, and the bytes that the forward pass keeps for it."""
    torch.manual_seed(0)
    made, kept = MODELS.build(backbone).double(), {}
    made.train()
    if recompute:
        turn_on_activation_checkpointing(made, list(recompute))

    def pack(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    x = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with saved_tensors_hooks(pack, lambda x: x):
        loss = sum(map_.square().mean() for map_ in made(x))
    loss.backward()
    parameters = sum(p.untyped_storage().nbytes() for p in made.parameters())
    return {name: p.grad for name, p in made.named_parameters()}, sum(kept.values()) - parameters


@pytest.mark.parametrize(
    ("backbone", "cheaper", "recompute"),
    [(RESNET, {**RESNET, "with_cp": True}, ()), (VIT, VIT, [f"layers.{i}" for i in range(4)])],
    ids=["with_cp of MMPretrain's ResNet", "activation_checkpointing of MMEngine"],
)
@pytest.mark.filterwarnings("ignore:.*use_reentrant")
def test_recomputed_activations_give_the_same_gradients_with_less_memory(backbone, cheaper, recompute):
    (expected, whole), (found, part) = gradients(backbone), gradients(cheaper, recompute)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12)
    assert part < 0.6 * whole, (part, whole)
