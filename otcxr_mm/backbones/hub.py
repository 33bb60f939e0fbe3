"""A backbone as a folder for the Hugging Face Hub, which timm opens if it has the architecture."""

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from ..registry import MODELS
from ..utils.building import build_untrusted
from ..utils.checkpoints import HUB_CONFIG, HUB_WEIGHTS, load_checkpoint, locate
from ..utils.files import write_whole
from .convert import backbone_of, find_weights, same_features
from .names import under_names_of

State = dict[str, torch.Tensor]
CARD = "README.md"
# arguments of a TIMMBackbone that timm.create_model does not get
_OURS = ("type", "model_name", "features_only", "out_indices", "in_channels", "pretrained", "checkpoint_path")
_OURS += ("init_cfg",)


def export_folder(source: str | os.PathLike, out: str | os.PathLike, force: bool = False) -> Path:
    """Writes a backbone as the Hugging Face Hub keeps models: `model.safetensors`, `config.json` and a model card.

    ``timm.create_model("local-dir:FOLDER", pretrained=True)`` opens it if a model of timm computes the same features
    with these weights, which is tried before writing: a ResNet, a VisionTransformer, or a TIMMBackbone of its usual
    form. :func:`otcxr_mm.load_backbone` opens every such folder. The card says what is recorded of the training; it
    names neither a license nor the data.

    Args:
        source: Work dir, whose last checkpoint is taken; a checkpoint of MMEngine; or a `backbone.pth` with its JSON.
        out: Folder, made if needed.
        force: Overwrite these three files if they are there.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        FileExistsError: If one of the files is there already.
        ImportError: If timm is missing.
        ValueError: For a file that cannot be read, or a checkpoint without a config or a size of images.
    """
    out, path = Path(out).expanduser(), find_weights(locate(source))
    for file in (out / CARD, out / HUB_CONFIG, out / HUB_WEIGHTS):
        if file.exists() and not force:
            raise FileExistsError(f"{file} is there already: name another folder, or overwrite it with --force")
    try:
        import timm  # noqa: F401
    except ImportError:
        raise ImportError(f"{out}: writing this folder needs timm: pip install timm") from None
    state, record = backbone_of(path, load_checkpoint(path))
    if not record.get("size"):
        raise ValueError(f"{path}: no size of the images is recorded")
    ours = build_untrusted(record["backbone"], MODELS, (record.get("config") or {}).get("default_scope"), path)
    ours.load_state_dict(state)
    config, state = _for_timm(ours, state, record)
    write_whole(out / CARD, _card(out.resolve().name, record, config).encode())
    write_whole(out / HUB_CONFIG, (json.dumps({**config, "otcxr_mm": record}, indent=2) + "\n").encode())
    weights = {name: value.contiguous() for name, value in state.items()}
    write_whole(out / HUB_WEIGHTS, save(weights, metadata={"format": "pt"}))
    return out


def _for_timm(ours: nn.Module, state: State, record: dict) -> tuple[dict, State]:
    """Settings and names of timm for the weights; no settings, and the names as they are, if timm has no such model."""
    import timm

    name, arguments = _timm_arguments(ours, record["backbone"])
    size = [record["size"]] * 2 if isinstance(record["size"], int) else list(record["size"])
    channels = arguments["in_chans"]
    try:
        theirs = timm.create_model(name, num_classes=0, **arguments)
        filled = _under_names_of_timm(ours, theirs, state)
        theirs.load_state_dict(filled)
        if not same_features(ours, theirs, torch.randn(2, channels, *size)):
            return {}, state
    except (RuntimeError, AssertionError, TypeError, ValueError):  # no such model, other shapes or arguments
        return {}, state
    mean, std = ([value / 255 for value in record[key]] * (channels // len(record[key])) for key in ("mean", "std"))
    images = {"input_size": [channels, *size], "mean": mean, "std": std, "crop_pct": 1.0, "crop_mode": "squash"}
    parts = {key: theirs.pretrained_cfg.get(key) for key in ("first_conv", "classifier")}
    settings = {**images, "interpolation": "bilinear", "num_classes": 0, **parts}
    about = {"architecture": name, "num_classes": 0, "num_features": theirs.num_features}
    return {**about, "pretrained_cfg": settings, "model_args": arguments}, filled


def _timm_arguments(ours: nn.Module, settings: dict) -> tuple[str, dict]:
    """Name and arguments of timm's model that may be the same; it is tried afterwards."""
    kind, channels = settings["type"].rpartition(".")[2], settings.get("in_channels", 3)
    if kind == "TIMMBackbone":
        kept = {key: value for key, value in settings.items() if key not in _OURS}
        return settings["model_name"], {"in_chans": channels, **kept}
    if kind == "VisionTransformer":
        block, patches = ours.layers[0], ours.patch_embed.projection
        return "vit_base_patch16_224", {
            "in_chans": channels,
            "img_size": list(ours.img_size),
            "patch_size": patches.kernel_size[0],
            "embed_dim": ours.embed_dims,
            "depth": len(ours.layers),
            "num_heads": block.attn.num_heads,
            "mlp_ratio": block.ffn.feedforward_channels / ours.embed_dims,
            "class_token": ours.cls_token is not None,
            "global_pool": "token" if ours.out_type == "cls_token" else "avg",
            "fc_norm": False,
        }
    return f"{kind.lower()}{settings.get('depth', '')}", {"in_chans": channels}


def _under_names_of_timm(ours: nn.Module, theirs: nn.Module, state: State) -> State:
    """Our weights under timm's names: those that :func:`.names.under_names_of` would give us from timm's."""
    names = {value.data_ptr(): name for name, value in theirs.state_dict().items()}
    given = under_names_of(ours, theirs.state_dict())
    return {names[v.data_ptr()]: state[name] for name, v in given.items() if v.data_ptr() in names and name in state}


def _card(name: str, record: dict, config: dict) -> str:
    """The model card: what it is, how to use it, how it was trained, and what it is not for."""
    model = ((record.get("config") or {}).get("model") or {}).get("type", "unknown")
    images, epochs, iterations = (
        found or "unknown"
        for found in ((record.get("train") or {}).get("images"), record.get("epochs"), record.get("iterations"))
    )
    use = ""
    if config:
        use = f"""With timm, normalise as `pretrained_cfg` says (images from 0 to 1):

```python
model = timm.create_model("hf-hub:OWNER/{name}", pretrained=True)
```

"""
    return f"""---
library_name: {"timm" if config else "otcxr_mm"}
pipeline_tag: image-feature-extraction
tags: [radiology, chest-x-ray, self-supervised]
---
# {name}

A `{record["backbone"]["type"]}` for chest radiographs, trained in the model `{model}` with otcxr_mm.

{use}With otcxr_mm, files as they are:

```python
model = otcxr_mm.load_backbone(huggingface_hub.snapshot_download("OWNER/{name}"))
features = model.embed(["a.png", "b.dcm"])
```

| | |
| --- | --- |
| images in training | {images} |
| size in pixels | {record["size"]} |
| mean, standard deviation (0 to 255) | {record["mean"]}, {record["std"]} |
| epochs, iterations | {epochs}, {iterations} |

The settings of the training are in `config.json`, under `otcxr_mm`. To add before you publish it: the license, the
data, and what was measured.

Research software, not a medical device: its features are not a diagnosis.
"""
