"""What a config does to an image before the backbone sees it, to compare two runs."""

from collections.abc import Mapping, Sequence

from ..utils.configs import leaf_specs

# settings that change the features: the normalisation, and what counts as white in 16-bit images
DECISIVE = ("mean", "std", "max_value")
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


def compare(weights: str, before: Mapping, now: Mapping, switch: str) -> tuple[str, str]:
    """Words what differs between the preprocessing that weights were trained with and that of a run.

    Args:
        weights: What to call the weights.
        before: Result of :func:`preprocessing_of` for the training; what it lacks is not compared.
        now: For the run that uses the weights.
        switch: The setting that allows a difference.

    Returns:
        A message if the normalisation differs, and one if only the size of the images does; '' if they do not.
    """
    known = [key for key in (*DECISIVE, "size") if None not in (before.get(key), now.get(key))]
    changed = [key for key in known if key in DECISIVE and not _equal(before[key], now[key])]
    if changed:
        then, today = (", ".join(f"{key}={settings[key]}" for key in changed) for settings in (before, now))
        return (
            f"{weights} was trained with {then}, but this run uses {today}: set model.data_preprocessor (mean, std) "
            f"and LoadCXR (max_value) to the values of that training, or {switch} if the difference is intended"
        ), ""
    if "size" in known and before["size"] != now["size"]:
        return "", f"{weights} was trained on images of {before['size']} pixels; this run uses {now['size']}"
    return "", ""


def _equal(one: float | Sequence[float], other: float | Sequence[float]) -> bool:
    """Whether two settings are the same; one number for all channels is that number for each."""
    one, other = ([value] if isinstance(value, (int, float)) else list(value) for value in (one, other))
    length = max(len(one), len(other))
    one, other = (values * length if len(values) == 1 else values for values in (one, other))
    return len(one) == len(other) and all(abs(a - b) <= 1e-6 * max(1, abs(a)) for a, b in zip(one, other, strict=True))
