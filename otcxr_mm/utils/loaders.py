"""Importing this module makes MMEngine load checkpoints as data; :mod:`otcxr_mm.models` and every run do so."""

import os
from collections.abc import Callable

from mmengine.runner import checkpoint as loaders

from .checkpoints import load_checkpoint


def load_from_data(source: str, map_location: str | Callable | None = None) -> dict:
    """What MMEngine loads a file or an address with: for `load_from`, `resume` and ``init_cfg``.

    Its own loaders unpickle any object in files with objects (OneDL line) or in downloads (both lines), and the list of
    types that the OneDL line declares safe lets a file run any code.
    """
    return load_checkpoint(source, map_location)


loaders.CheckpointLoader.register_scheme(("", "http://", "https://"), load_from_data, force=True)
# MMEngine's own functions for names such as torchvision://resnet50 look up an address, and go on with these
loaders.load_from_http = loaders.load_from_local = loaders._safe_torch_load = load_from_data
for _storage in ("pavi://", r"(\S+\:)?s3://", r"(\S+\:)?petrel://"):
    loaders.CheckpointLoader._schemes.pop(_storage, None)
# for libraries that load files of their own, such as timm
os.environ.setdefault("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
