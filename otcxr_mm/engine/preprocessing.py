"""What a config does to an image before the backbone sees it, to compare two runs."""

from collections.abc import Mapping, Sequence

from ..utils.configs import leaf_specs

# what a difference of makes other features: the normalisation, and what counts as white in 16-bit images
DECISIVE = ("mean", "std", "max_value")
_SIDES = ("size", "crop_size", "scale")
_RESIZING = ("TwoViewCrop", "MaskedCrop", "RandomResizedCrop", "Resize", "ResizeEdge", "CenterCrop", "RandomCrop")
WHITE = 65535  # LoadCXR's default


def preprocessing_of(cfg: Mapping, role: str = "train") -> dict:
    """Reads from a config how images are loaded, sized and normalised.

    Args:
        cfg: Of a run.
        role: Whose pipeline: ``'train'``, ``'val'`` or ``'test'``.

    Returns:
        `mean` and `std`, lists on the scale 0 to 255; `max_value`, white in 16-bit images; `size`, the side in pixels
        or [height, width]. None for what the config does not say.
    """
    normalise = (cfg.get("model") or {}).get("data_preprocessor") or cfg.get("data_preprocessor") or {}
    found = {key: list(normalise[key]) if normalise.get(key) is not None else None for key in ("mean", "std")}
    spec = (cfg.get(f"{role}_dataloader") or {}).get("dataset") or {}
    steps = next(leaf_specs(spec), {}).get("pipeline") or []
    names = [str(step.get("type")).rsplit(".", 1)[-1] for step in steps if isinstance(step, Mapping)]
    found["max_value"] = found["size"] = None
    for name, step in zip(names, (step for step in steps if isinstance(step, Mapping)), strict=True):
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


def differences(wanted: Mapping, found: Mapping) -> list[str]:
    """Names the decisive settings that differ between two results of :func:`preprocessing_of`, known in both."""
    return [
        key
        for key in DECISIVE
        if wanted.get(key) is not None and found.get(key) is not None and not _equal(wanted[key], found[key])
    ]


def _equal(one: float | Sequence[float], other: float | Sequence[float]) -> bool:
    """Whether two settings are the same; one number for all channels is that number for each."""
    one, other = ([value] if isinstance(value, (int, float)) else list(value) for value in (one, other))
    length = max(len(one), len(other))
    one, other = (values * length if len(values) == 1 else values for values in (one, other))
    return len(one) == len(other) and all(abs(a - b) <= 1e-6 * max(1, abs(a)) for a, b in zip(one, other, strict=True))
