"""With what settings a checkpoint was trained."""

from collections.abc import Iterator, Mapping

from ..apis.configs import read_settings


def trained_config(checkpoint: Mapping) -> dict | None:
    """The config in a checkpoint of MMEngine, as plain containers; no code in it is run.

    Args:
        checkpoint: As it was loaded.

    Returns:
        None if there is none, or if it holds anything but literals.
    """
    text = (checkpoint.get("meta") or {}).get("cfg")
    if not isinstance(text, str):
        return None
    try:
        return read_settings(text)
    except (SyntaxError, ValueError):
        return None


def leaf_specs(spec: Mapping) -> Iterator[Mapping]:
    """The configs of the data sets inside ConcatDataset, RepeatDataset and the like."""
    inner = spec.get("datasets") or ([spec["dataset"]] if isinstance(spec.get("dataset"), Mapping) else [])
    if not inner:
        yield spec
    for child in inner:
        yield from leaf_specs(child)


def backbone_source(cfg: Mapping, with_load_from: bool = False) -> str | None:
    """The file, or address, that a config's backbone starts from.

    Args:
        cfg: Of a training.
        with_load_from: Whether `load_from` says where the training started; in the config of a test it does not.

    Returns:
        None for random weights.
    """
    hooks = (*(cfg.get("default_hooks") or {}).values(), *(cfg.get("custom_hooks") or ()))
    for hook in hooks:
        if isinstance(hook, Mapping) and str(hook.get("type")).split(".")[-1] == "LoadBackboneHook":
            return hook["checkpoint"]
    if with_load_from and cfg.get("load_from") and not cfg.get("resume"):
        return cfg["load_from"]
    backbone = (cfg.get("model") or {}).get("backbone") or {}
    init = backbone.get("init_cfg")
    for part in init if isinstance(init, (list, tuple)) else [init]:
        if isinstance(part, Mapping) and part.get("type") == "Pretrained":
            return part.get("checkpoint")
    return None
