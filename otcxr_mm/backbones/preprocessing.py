"""What a config does to an image before the backbone sees it, to compare two runs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..utils.checkpoints import HUB_CONFIG, HUB_WEIGHTS, load_checkpoint, trained_config
from ..utils.configs import leaf_specs

SETTINGS = ("mean", "std", "max_value", "size")
_SIDES = ("size", "crop_size", "scale")
_RESIZING = ("TwoViewCrop", "MaskedCrop", "RandomResizedCrop", "Resize", "ResizeEdge", "CenterCrop", "RandomCrop")
WHITE = 65535  # LoadCXR's default


def preprocessing_of(cfg: Mapping, role: str = "train") -> dict:
    """Reads from a config how images are loaded, sized and normalised.

    Args:
        cfg: The config of a run.
        role: Whose pipeline: ``'train'``, ``'val'`` or ``'test'``.

    Returns:
        `mean` and `std`, lists on the scale 0 to 255; `max_value`, white in 16-bit images; `size`, the side in pixels
        or [height, width]. None for what the config does not say.
    """
    normalise = (cfg.get("model") or {}).get("data_preprocessor") or cfg.get("data_preprocessor") or {}
    found = {key: list(normalise[key]) if normalise.get(key) is not None else None for key in ("mean", "std")}
    spec = (cfg.get(f"{role}_dataloader") or {}).get("dataset") or {}
    steps = next(leaf_specs(spec), {}).get("pipeline") or []
    found["max_value"] = found["size"] = None
    for step in steps:
        name = str(step.get("type")).rpartition(".")[2]
        if name == "LoadCXR":
            found["max_value"] = step.get("max_value") or WHITE
        elif name in _RESIZING:
            found["size"] = _side(next((step[key] for key in _SIDES if step.get(key) is not None), None))
    return found


def _side(size: int | Sequence[int] | None) -> int | list[int] | None:
    """A side in pixels, or [height, width] where they differ."""
    if not isinstance(size, Sequence):
        return size
    return size[0] if len(set(size)) == 1 else list(size)


def record_file(weights: Path) -> tuple[Path, bool]:
    """The record beside weights, which may be missing, and whether it is an entry of the config of a hub's folder."""
    beside = weights.with_suffix(".json")
    hub = weights.name == HUB_WEIGHTS and not beside.is_file()
    return weights.with_name(HUB_CONFIG) if hub else beside, hub


def recorded_preprocessing(weights: Path) -> dict:
    """The preprocessing of a training, from the JSON beside its weights or the config in its checkpoint, if any."""
    try:
        file, hub = record_file(weights)
        recorded = json.loads(file.read_text(encoding="utf-8"))
        recorded = recorded["otcxr_mm"] if hub else recorded
    except (OSError, ValueError, KeyError, TypeError):
        recorded = None
    return recorded if isinstance(recorded, dict) else preprocessing_of(trained_config(load_checkpoint(weights)) or {})


def differences(before: Mapping, now: Mapping) -> list[str]:
    """Names the settings that differ between two results of :func:`preprocessing_of`, as far as both are known."""
    known = [key for key in SETTINGS if None not in (before.get(key), now.get(key))]
    # one number for all channels is that number for each
    return [key for key in known if not np.allclose(before[key], now[key], rtol=1e-6, atol=1e-6)]
