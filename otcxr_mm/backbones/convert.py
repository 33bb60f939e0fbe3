"""A trained backbone under the names, and in the file, of another library."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ..registry import MODELS
from ..utils.building import build_untrusted
from ..utils.checkpoints import (
    best_checkpoint,
    latest_checkpoint,
    load_checkpoint,
    locate,
    trained_config,
)
from .preprocessing import record_file
from .weights import backbone_tensors, convert_stem, describe_backbone, stem_of, write_backbone


def export_backbone(
    source: str | os.PathLike,
    out: str | os.PathLike | None = None,
    layout: str = "mmpretrain",
    channels: int | None = None,
    force: bool = False,
) -> Path:
    """Writes the backbone of a run for another library, with what it was trained on beside it.

    `mmpretrain` keeps the names (MMSegmentation and MMDetection have the same). A `TIMMBackbone` gets timm's own names.
    A ResNet gets torchvision's, which are timm's, if the library's model computes the same with these weights. No code
    in the checkpoint is run.

    Args:
        source: Work dir, whose last checkpoint is taken; a checkpoint of MMEngine; or a `backbone.pth` with its JSON.
        out: File that ends in `.pth` or `.safetensors`; a JSON of the same name goes beside it. Default
            `backbone_LAYOUT.pth`, or `backbone_LAYOUT_3ch.pth`, beside the checkpoint.
        layout: `"mmpretrain"`, `"torchvision"` or `"timm"`.
        channels: Of the first convolution, 1 or 3: with 3, it gives for three equal channels what the trained one gives
            for one. Default as trained.
        force: Overwrite files that are there; never the source.

    Returns:
        The file of weights.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        FileExistsError: If `out` or its JSON is there already.
        ValueError: For a file that cannot be read, a checkpoint without a config, an architecture that the library does
            not have, or another suffix.
    """
    path = find_weights(locate(source))
    width = f"_{channels}ch" if channels else ""
    out = Path(out).expanduser() if out else path.with_name(f"backbone_{layout}{width}.pth")
    if out.suffix not in (".pth", ".safetensors"):
        raise ValueError(
            f"{out}: the name must end in .pth or .safetensors (of a graph in .onnx or .pt2; a folder has no suffix)"
        )
    for file in (out, out.with_suffix(".json")):
        if file.exists() and (not force or file.with_suffix("").resolve() == path.with_suffix("").resolve()):
            raise FileExistsError(f"{file} is there already: name another file, or overwrite it with --force")
    state, record = backbone_of(path, load_checkpoint(path))
    record["layout"] = layout
    if channels:
        first = stem_of(state)
        convert_stem(state, {first: state[first].new_empty(len(state[first]), channels, *state[first].shape[2:])})
        record["channels"] = channels
    if layout != "mmpretrain":
        state = _renamed(state, record["backbone"], layout)
    write_backbone(out, state, record)
    return out


def find_weights(source: Path) -> Path:
    """The checkpoint to export of a work dir, or the file itself."""
    found = latest_checkpoint(str(source)) or best_checkpoint(str(source)) or source / "backbone.pth"
    path = Path(found) if source.is_dir() else source
    if not path.is_file():
        raise FileNotFoundError(f"{source}: neither a checkpoint nor a folder with one, or with backbone.pth")
    return path


def backbone_of(path: Path, checkpoint: Mapping) -> tuple[dict[str, torch.Tensor], dict]:
    """A backbone's state dict, and what its JSON says or would say.

    Args:
        path: Of the checkpoint; the JSON of a `backbone.pth` has the same name with the suffix `.json`.
        checkpoint: As it was read.

    Raises:
        ValueError: For a checkpoint without a config that can be read, or a `backbone.pth` without its JSON.
    """
    beside, hub = record_file(path)
    if "state_dict" not in checkpoint and beside.is_file():
        return backbone_tensors(checkpoint), _record(beside, hub)
    cfg = trained_config(checkpoint)
    if cfg is None or not isinstance(cfg.get("model"), dict) or "backbone" not in cfg["model"]:
        raise ValueError(
            f"{path}: neither the checkpoint of a run, whose config can be read, nor backbone.pth with its JSON"
        )
    given = cfg["model"].get("data_preprocessor") or cfg.get("data_preprocessor") or {}
    settings = {"type": "SelfSupDataPreprocessor", **given}
    preprocessor = build_untrusted(settings, MODELS, cfg.get("default_scope"), path)
    meta = checkpoint["meta"]
    length = {"epochs": meta.get("epoch"), "iterations": meta.get("iter")}
    record = describe_backbone(cfg, preprocessor, meta.get("provenance"), **length)
    return backbone_tensors(checkpoint), record


def _record(file: Path, hub: bool) -> dict:
    """The record of a backbone: the JSON beside its weights, or an entry of the config of a hub's folder."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        record = record["otcxr_mm"] if hub else record
        str(record["backbone"]["type"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: not the record of a backbone ({error}): copy it again with its weights") from None
    return record


def _renamed(state: dict[str, torch.Tensor], backbone: dict, layout: str) -> dict[str, torch.Tensor]:
    """The weights under the library's names; those of a ResNet are tried on the library's model."""
    kind = backbone["type"].rpartition(".")[2]
    if layout == "timm" and kind == "TIMMBackbone":
        return {name.removeprefix("timm_model."): value for name, value in state.items()}
    if kind != "ResNet":
        raise ValueError(f"{layout}'s names are known for a ResNet, not for {kind}: use the layout mmpretrain")
    channels, name = state[stem_of(state)].shape[1], f"resnet{backbone['depth']}"
    theirs = (_torchvision_model if layout == "torchvision" else _timm_model)(name, channels)
    last = {"in_channels": channels, "out_indices": (backbone.get("num_stages", 4) - 1,)}
    ours = build_untrusted({**backbone, **last}, MODELS, "mmpretrain", "the backbone's settings")
    shapes = [{name: value.shape for name, value in one.items()} for one in (theirs.state_dict(), state)]
    if shapes[0] == shapes[1]:
        ours.load_state_dict(theirs.state_dict())
        if same_features(ours, theirs, torch.rand(1, channels, 64, 64)):
            return state
    raise ValueError(f"{layout}'s {name} does not compute what this backbone does: use the layout mmpretrain")


@torch.no_grad()
def same_features(ours: nn.Module, theirs: nn.Module, images: torch.Tensor) -> bool:
    """Whether a backbone's last stage, averaged over space, is what a network of another library gives."""
    ours.eval()  # does not return the module
    last = ours(images)[-1]
    features = last.mean((2, 3)) if last.dim() == 4 else last
    return torch.allclose(features, theirs.eval()(images), rtol=1e-3, atol=1e-5)


def _torchvision_model(name: str, channels: int) -> nn.Module:
    import torchvision

    model = torchvision.models.get_model(name)
    model.conv1, model.fc = nn.Conv2d(channels, 64, 7, 2, 3, bias=False), nn.Identity()
    return model


def _timm_model(name: str, channels: int) -> nn.Module:
    import timm

    return timm.create_model(name, in_chans=channels, num_classes=0, zero_init_last=False)
