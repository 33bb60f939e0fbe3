"""Configs without what says where the data are: for records and trackers that others read."""

import os
import re
from collections.abc import Mapping, Set

import numpy as np

# entries that hold paths, whatever they look like
PATHS = frozenset(("packed", "checkpoint", "load_from", "resume_from", "pretrain_config", "origins", "cache"))
# and those whose names say so, alone or at their end: header_file, site_dir, data_root, img_prefix, detail_files
_WHERE = re.compile(r"(^|_)((file|filename|dir|root|path|folder)s?|directory|directories|prefix(es)?)$", re.IGNORECASE)
# entries whose values are names of metrics, which have slashes
METRICS = ("save_best", "monitor", "key_indicator", "metric")
# entries whose values are names of classes and modules, which have dots: "our_models.log" is no file there
NAMES = ("type", "imports")
# what names of files end with
SUFFIXES = (
    *("csv", "tsv", "txt", "md", "rtf", "pdf", "docx?", "odt", "xlsx?", "xlsm", "ods", "html?", "xml", "lst"),
    *("jsonl?", "ndjson", "ya?ml", "toml", "ini", "cfg", "conf", "py", "ipynb", "sh", "log", "bak"),
    *("dcm", "dicom", "ima", "nii", "nrrd", "nhdr", "mha", "mhd", "mgh", "mgz", "mnc", "hdr", "img"),
    *("png", "jpe?g", "jfif", "jp2", "j2k", "jpx", "jls", "jxl", "tiff?", "bmp", "gif", "webp", "svg", "p[gpnb]m"),
    *("np[yz]", "mat", "h5", "hdf5?", "zarr", "lmdb", "mdb", "db3?", "sqlite3?", "parquet", "feather", "arrow"),
    *("tfrecords?", "pkl", "pickle", "joblib", "pth?", "pt2", "ckpt", "safetensors", "onnx", "bin"),
    *("zip", "tar", "t[gbx]z", "tbz2", "gz", "bz2", "xz", "zst", "lz4", "7z", "rar", "avi", "mp4", "mov"),
)
# at the end of the text or of a word in it
_FILE = re.compile(rf"\.({'|'.join(SUFFIXES)})(?!\.?\w|-)", re.IGNORECASE)


def without_paths(config: object) -> object:
    """A config as plain containers, without the entries that hold paths.

    Args:
        config: Any part of a config. Entries of :data:`PATHS` are left out, those named `..._file`, `..._dir`,
            `..._root`, `..._path`, `..._prefix`, `..._folder` or just so, and every text or bytes that looks like a
            path or an address: with a slash or backslash, or with the name of a file, by :data:`SUFFIXES`. A file
            whose name has no suffix cannot be told from other words.

    Returns:
        Dicts, lists and plain values; sets and arrays become lists, bytes text.
    """
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    if isinstance(config, Mapping):
        return {key: _kept(key, value) for key, value in config.items() if not _says_where(key, value)}
    if isinstance(config, np.ndarray):
        config = config.tolist()
    if isinstance(config, Set):
        config = sorted(config, key=repr)  # in the same order in each process
    if isinstance(config, (list, tuple)):
        return [without_paths(value) for value in config if not _is_path(value)]
    if isinstance(config, (bytes, bytearray)):
        return _text(config)
    return config


def _kept(key: object, value: object) -> object:
    """An entry's value without paths."""
    if key in NAMES and isinstance(value, (list, tuple)):
        return [without_paths(name) for name in value if _is_dotted(name) or not _is_path(name)]
    return without_paths(value)


def _says_where(key: object, value: object) -> bool:
    """Whether an entry of a config holds a path."""
    if key in METRICS and isinstance(value, str):
        return value.startswith("~") or os.path.isabs(value) or "://" in value
    # `checkpoint` is a file, and the name of the hook that writes checkpoints
    if key in PATHS and not (key == "checkpoint" and isinstance(value, Mapping)):
        return True
    if isinstance(key, str) and _WHERE.search(key):
        return True
    if any(map(_is_path, key if isinstance(key, (tuple, frozenset)) else (key,))):
        return True
    return _is_path(value) and not (key in NAMES and _is_dotted(value))


def _is_dotted(value: object) -> bool:
    """Whether a value can be the name of a class or module."""
    return isinstance(value, str) and all(part.isidentifier() for part in value.split("."))


def _is_path(value: object) -> bool:
    if isinstance(value, os.PathLike):
        return True
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (bytes, bytearray)):
        value = _text(value)
    return isinstance(value, str) and (
        value.startswith("~") or "/" in value or "\\" in value or _FILE.search(value) is not None
    )


def _text(value: bytes | bytearray) -> str:
    return bytes(value).decode(errors="replace")
