"""Configs without what says where the data are: for records and trackers that others read."""

import os
import re

# entries that hold paths, whatever they look like
PATHS = frozenset(
    (
        *("data_root", "ann_file", "split_file", "img_prefix", "mask_prefix", "data_prefix", "packed", "checkpoint"),
        *("work_dir", "load_from", "pretrain_config", "origins", "out_dir", "save_dir", "cache"),
    )
)
# entries whose values are names of metrics, which have slashes
METRICS = ("save_best", "monitor", "key_indicator", "metric")
_FILE = re.compile(r"\.(csv|txt|json|ya?ml|py|pth|pt|onnx|np[yz]|dcm|png|jpe?g|tiff?|bmp|zip|gz)$", re.IGNORECASE)


def without_paths(config: object) -> object:
    """A config as plain containers, without the entries that hold paths.

    Args:
        config: Any part of a config. Entries of :data:`PATHS` are left out, and every string that looks like a path or
            an address: one that has a slash or backslash, or ends like the name of a file.

    Returns:
        Dicts, lists and plain values.
    """
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    if isinstance(config, dict):
        return {key: without_paths(value) for key, value in config.items() if not _says_where(key, value)}
    if isinstance(config, (list, tuple)):
        return [without_paths(value) for value in config if not _is_path(value)]
    return config


def _says_where(key: object, value: object) -> bool:
    """Whether an entry of a config holds a path."""
    if key in METRICS and isinstance(value, str):
        return value.startswith("~") or os.path.isabs(value) or "://" in value
    # `checkpoint` is a file, and the name of the hook that writes checkpoints
    if key in PATHS and not (key == "checkpoint" and isinstance(value, dict)):
        return True
    return _is_path(key) or _is_path(value)


def _is_path(value: object) -> bool:
    if isinstance(value, os.PathLike):
        return True
    return isinstance(value, str) and (
        value.startswith("~") or "/" in value or "\\" in value or _FILE.search(value) is not None
    )
