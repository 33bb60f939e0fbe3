"""Small trained-looking files: a classifier's checkpoint and an exported backbone, with random weights."""

import torch
from mmengine.registry import DefaultScope

from otcxr_mm.backbones import save_backbone
from otcxr_mm.registry import MODELS
from otcxr_mm.utils.configs import config_text
from tests.engine import runs

CLASSES = ("Virus", "Fungus", "Abscess")


def build(cfg):
    """The model of a config, in evaluation mode, with statistics of batch norm that are not all 0 and 1."""
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build({**cfg.model, "_scope_": "mmpretrain"})
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_(-0.3, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.01, 0.3)
    model.eval()
    return model


def write_classifier(folder, classes=CLASSES, **changes):
    """Writes `linear.pth` as a run of `tests.engine.runs.config` leaves it; returns the model and its config."""
    cfg = runs.config(folder, "linear", **changes)
    model = build(cfg)
    meta = {"cfg": config_text(cfg), "dataset_meta": {"classes": classes}}
    torch.save({"meta": meta, "state_dict": model.state_dict()}, folder / "linear.pth")
    return model, cfg


def write_backbone(folder, **changes):
    """Writes `backbone.pth` and its JSON as a pre-training leaves them; returns the model."""
    cfg = runs.config(folder, "linear", **changes)
    model = build(cfg)
    save_backbone(model, folder / "backbone.pth", cfg)
    return model
