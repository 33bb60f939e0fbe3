"""A trained backbone under the names, and in the file, of another library."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ..registry import MODELS
from ..utils.checkpoints import latest_checkpoint
from ..utils.configs import read_settings
from .weights import convert_stem, describe_backbone, stem_of, write_backbone

# what these depths compute, and their names, are the same in all three libraries if nothing but the keys below is set
DEPTHS = (18, 34, 50, 101, 152)
HARMLESS = ("type", "depth", "in_channels", "num_stages", "out_indices", "norm_cfg", "norm_eval", "frozen_stages")
HARMLESS += ("init_cfg", "style", "with_cp", "zero_init_residual", "_scope_")


def export_backbone(
    source: str | os.PathLike,
    out: str | os.PathLike | None = None,
    layout: str = "mmpretrain",
    channels: int | None = None,
    force: bool = False,
) -> Path:
    """Writes the backbone of a run for another library, with what it was trained on beside it.

    `mmpretrain` keeps the names (MMSegmentation and MMDetection have the same). A `TIMMBackbone` gets timm's own names.
    A ResNet of the usual width gets torchvision's, which are timm's, and is tried on the library's model: every weight
    of it but the classifier's must be there. No code in the checkpoint is run.

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
        ValueError: For a file that cannot be read, a checkpoint without backbone or config, an architecture that the
            library does not have, or another suffix.
        ImportError: If the library, or safetensors for such a file, is missing.
    """
    path = _weights(Path(source).expanduser())
    width = f"_{channels}ch" if channels else ""
    out = Path(out).expanduser() if out else path.with_name(f"backbone_{layout}{width}.pth")
    if out.suffix not in (".pth", ".safetensors"):
        raise ValueError(f"{out}: the name must end in .pth or .safetensors")
    for file in (out, out.with_suffix(".json")):
        if file.exists() and (not force or file.with_suffix("").resolve() == path.with_suffix("").resolve()):
            raise FileExistsError(f"{file} is there already: name another file, or overwrite it with --force")
    state, record = _read(path)
    record["layout"] = layout
    if channels:
        first = stem_of(state)
        if first is None:
            raise ValueError(f"{path}: the backbone has no convolution whose channels could be changed")
        convert_stem(state, {first: state[first].new_empty(len(state[first]), channels, *state[first].shape[2:])})
        record["channels"] = channels
    if layout != "mmpretrain":
        state = _renamed(state, record["backbone"], layout)
    write_backbone(out, state, record)
    return out


def _weights(source: Path) -> Path:
    if not source.is_dir():
        if source.is_file():
            return source
        raise FileNotFoundError(f"{source}: no such file or folder")
    found = latest_checkpoint(str(source)) or source / "backbone.pth"
    if not Path(found).is_file():
        raise FileNotFoundError(f"{source}: neither a checkpoint nor backbone.pth in this folder")
    return Path(found)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The backbone's state dict, and what its JSON says or would say."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # empty, cut off, text, pickled objects: each has its own
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: not a checkpoint that can be read ({type(error).__name__}: {reason})") from None
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{path}: a {type(checkpoint).__name__}, not a checkpoint")
    beside = path.with_suffix(".json")
    if "state_dict" not in checkpoint and beside.is_file():
        return checkpoint, json.loads(beside.read_text())
    state = {name.removeprefix("module."): value for name, value in checkpoint.get("state_dict", {}).items()}
    state = {name.removeprefix("backbone."): v for name, v in state.items() if name.startswith("backbone.")}
    meta = checkpoint.get("meta") or {}
    if not state or not meta.get("cfg"):
        raise ValueError(f"{path}: neither the checkpoint of a run with a backbone nor backbone.pth with its JSON")
    try:
        cfg = read_settings(meta["cfg"])
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: its config cannot be read: {error}") from None
    given = cfg["model"].get("data_preprocessor") or cfg.get("data_preprocessor")
    if given is None:
        raise ValueError(f"{path}: its config has no data_preprocessor, so that mean and std are not known")
    scope = cfg.get("default_scope", "mmpretrain")
    preprocessor = MODELS.build({"type": "SelfSupDataPreprocessor", **given, "_scope_": scope})
    length = {"epochs": meta.get("epoch"), "iterations": meta.get("iter")}
    return state, describe_backbone(cfg, preprocessor, meta.get("provenance"), **length)


def _renamed(state: dict[str, torch.Tensor], backbone: dict, layout: str) -> dict[str, torch.Tensor]:
    """The weights under the library's names, which have been tried on its model."""
    kind = backbone["type"].rpartition(".")[2]
    if layout == "timm" and kind == "TIMMBackbone":
        return {name.removeprefix("timm_model."): value for name, value in state.items()}
    other = sorted(set(backbone) - set(HARMLESS))
    other += [key for key, usual in (("style", "pytorch"), ("num_stages", 4)) if backbone.get(key, usual) != usual]
    norm = (backbone.get("norm_cfg") or {}).get("type", "BN")
    if kind != "ResNet" or backbone["depth"] not in DEPTHS or other or norm not in ("BN", "SyncBN"):
        raise ValueError(
            f"{layout}'s names are known for a ResNet of depth {', '.join(map(str, DEPTHS))} with batch norm"
            + (" and for TIMMBackbone" if layout == "timm" else "")
            + f", not for {kind}{' with ' + ', '.join(other) if other else ''}: take mmpretrain's"
        )
    model = _MODELS[layout](f"resnet{backbone['depth']}", state["conv1.weight"].shape[1])
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.startswith("fc.")]
    if missing or unexpected:
        raise ValueError(f"{layout}'s model lacks, or has besides: {', '.join([*missing, *unexpected][:5])}")
    return state


def _torchvision_model(name: str, channels: int) -> nn.Module:
    import torchvision

    model = torchvision.models.get_model(name)
    if channels != 3:
        model.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    return model


def _timm_model(name: str, channels: int) -> nn.Module:
    try:
        import timm
    except ModuleNotFoundError:
        raise ModuleNotFoundError("timm is not installed, whose model is tried: pip install timm") from None
    return timm.create_model(name, in_chans=channels)


_MODELS: dict[str, Callable[[str, int], nn.Module]] = {"torchvision": _torchvision_model, "timm": _timm_model}
