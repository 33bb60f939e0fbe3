"""A backbone's weights without anything around them, and what is needed to use them."""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from safetensors.torch import save
from torch import nn

from ..utils.checkpoints import is_address, load_checkpoint, locate, of_the_zoo
from ..utils.files import write_whole
from ..utils.redaction import shareable
from ..utils.versions import versions
from .names import under_names_of
from .preprocessing import preprocessing_of

# sections of a run's config in the record, reduced to what is shareable
RECORDED = ("default_scope", "model", "train_dataloader", "optim_wrapper", "param_scheduler", "train_cfg", "randomness")
# of the run's provenance; the rest is in its manifest, which the SHA-256 of the config identifies
PROVENANCE = ("config_sha256", "train", "seed", "batch_size", "world_size", "versions")
MIN_MATCHED = 0.95  # share of the backbone's tensors that a file must hold


def save_backbone(
    model: nn.Module,
    path: str | os.PathLike,
    cfg: Config | dict,
    provenance: Mapping | None = None,
    weights: Mapping[str, torch.Tensor] | None = None,
    **facts: object,
) -> None:
    """Writes the backbone's state dict, and a JSON beside it.

    The `.pth` holds tensors only, under the backbone's own names (no `backbone.` prefix): `weights_only=True` loads it,
    and MMPretrain, MMSegmentation and MMDetection take it as
    ``backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=...))``.

    Args:
        model: With `backbone` and `data_preprocessor`.
        path: Of the weights; the JSON has the same name with the suffix `.json`.
        cfg: The run's config; see :func:`otcxr_mm.utils.redaction.shareable` for what is recorded.
        provenance: What :func:`otcxr_mm.engine.provenance.describe` says of the run; of it, data as counts and SHA-256,
            seed, batch size, processes and versions are recorded.
        weights: Of the backbone, if the model does not hold all of them.
        **facts: More to record.
    """
    state = {name: tensor.detach().cpu() for name, tensor in (weights or model.backbone.state_dict()).items()}
    write_backbone(Path(path), state, describe_backbone(cfg, model.data_preprocessor, provenance, **facts))


def describe_backbone(
    cfg: Config | dict, preprocessor: nn.Module, provenance: Mapping | None = None, **facts: object
) -> dict:
    """What is needed to use a backbone, and how it was trained: no path, no name of an image, split or class."""
    config, provenance = shareable(cfg), provenance or {"versions": versions()}
    found = {key: provenance[key] for key in PROVENANCE if key in provenance}
    if "train" in found:
        found["train"] = {key: found["train"][key] for key in ("images", "patients", "sha256")}
    images = preprocessing_of(cfg)
    return {
        "backbone": config["model"]["backbone"],
        "config": {key: config[key] for key in RECORDED if config.get(key) is not None},
        "channels": getattr(preprocessor, "channels", None),
        "mean": preprocessor.mean.flatten().tolist() if hasattr(preprocessor, "mean") else None,
        "std": preprocessor.std.flatten().tolist() if hasattr(preprocessor, "std") else None,
        "intensity_range": [0, 255],
        **{key: images[key] for key in ("size", "max_value")},
        **found,
        **facts,
    }


def write_backbone(path: Path, state: dict[str, torch.Tensor], record: dict) -> None:
    """Writes a `.pth` or `.safetensors` file of weights, and their record as a JSON beside it."""
    if path.suffix == ".safetensors":
        data = save({name: value.contiguous() for name, value in state.items()})
    else:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getvalue()
    write_whole(path, data)
    write_whole(path.with_suffix(".json"), (json.dumps(record, indent=2) + "\n").encode())


def load_backbone_weights(backbone: nn.Module, path: str | os.PathLike) -> None:
    """Loads weights into a backbone, or raises an error: nobody trains from scratch without knowing.

    Takes what :func:`save_backbone` wrote, checkpoints of MMEngine (of a whole model, its `backbone.`) and state dicts
    of torchvision, timm, torchxrayvision, DINOv2 or transformers, whose names are converted
    (:func:`otcxr_mm.backbones.names.under_names_of`). A stem of 3 channels is converted to 1 by summing its weights
    over the channels, so that a grey image gives what three equal channels gave before; one of 1 channel is converted
    to more by dividing them. Position codes of another grid are resized.

    Args:
        backbone: To fill.
        path: Local file, `.safetensors` or torch's; ``'torchvision://resnet50'`` (`resnet50.imagenet1k_v2` for the
            second version), or an address, which are downloaded once; or the name of weights of the model zoo. All are
            loaded as data: no code in them is run.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or holds objects; or if less than 95 % of the backbone's tensors are in it in
            the same shape, or not the first convolution. Names what is missing.
    """
    state = under_names_of(backbone, backbone_tensors(_fetch(path)))
    wanted = {name: v for name, v in backbone.state_dict().items() if not name.endswith("num_batches_tracked")}
    convert_stem(state, wanted)
    missing = [name for name in wanted if name not in state]
    shapes = {
        name: f"{name} {tuple(state[name].shape)} instead of {tuple(v.shape)}"
        for name, v in wanted.items()
        if name in state and state[name].shape != v.shape
    }
    matched = len(wanted) - len(missing) - len(shapes)
    lists = (("missing", missing[:5]), ("of another shape", [*shapes.values()][:3]))
    text = "; ".join(f"{what}: {', '.join(names)}" for what, names in lists if names)
    held = [name for name in state if not name.endswith("num_batches_tracked")]
    if matched < MIN_MATCHED * len(wanted) or stem_of(wanted) in (*missing, *shapes):
        raise ValueError(
            f"{path}: only {matched} of the backbone's {len(wanted)} tensors are in this file; {text}. It holds "
            f"{', '.join(held[:3])}, ...: is it of the same architecture, depth and channels?"
        )
    if matched < len(wanted):
        print_log(f"{path}: not all of the backbone is in this file; {text}", "current")
    backbone.load_state_dict({n: v for n, v in state.items() if n in wanted and n not in shapes}, strict=False)


def _fetch(path: str | os.PathLike) -> Mapping:
    if str(path).startswith("torchvision://"):
        from torchvision.models import get_model_weights  # slow to import

        name, _, version = str(path).removeprefix("torchvision://").partition(".")
        try:
            path = get_model_weights(name)[(version or "imagenet1k_v1").upper()].url
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path}: torchvision has no such weights: {error}") from None
    if not is_address(path) and not locate(path).is_file():
        raise FileNotFoundError(
            f"{path}: no such file of weights: pre-train first, or name another file with "
            f"default_hooks.load_backbone.checkpoint=FILE (None for an untrained backbone){of_the_zoo()}"
        )
    return load_checkpoint(path)


def backbone_tensors(checkpoint: Mapping) -> dict[str, torch.Tensor]:
    """A backbone's tensors under its own names, from a checkpoint of a whole model or a state dict."""
    state = checkpoint.get("state_dict") or checkpoint.get("model") or checkpoint
    state = {name.removeprefix("module."): value for name, value in state.items() if isinstance(value, torch.Tensor)}
    inner = {n.removeprefix("backbone."): value for n, value in state.items() if n.startswith("backbone.")}
    return inner or state


def stem_of(wanted: dict[str, torch.Tensor]) -> str | None:
    """Name of the first convolution's weight."""
    return next((name for name, tensor in wanted.items() if tensor.dim() == 4), None)


def convert_stem(state: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    """Brings the first convolution to the wanted number of channels, in place."""
    name = stem_of(wanted)
    given, target = state.get(name), wanted.get(name)
    if given is None or given.dim() != 4 or given.shape == target.shape:
        return
    same = given.shape[0] == target.shape[0] and given.shape[2:] == target.shape[2:]
    if same and 1 in (given.shape[1], target.shape[1]):
        state[name] = given.sum(1, keepdim=True).expand(-1, target.shape[1], -1, -1) / target.shape[1]
