"""Checkpoints: finds those of a run, and loads any as data, without running code in them."""

import glob
import logging
import os
import re
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

from .configs import read_settings

# weights that are installed with the package: a folder each, as export_folder writes it
ZOO = Path(__file__).parents[1] / "zoo"
# of such a folder, as timm and transformers name them
HUB_WEIGHTS, HUB_CONFIG = "model.safetensors", "config.json"
RESUMABLE = ("epoch_*.pth", "iter_*.pth", "interrupted*.pth")
_MAPPINGS = ("meta", "state_dict", "message_hub")  # where MMEngine's checkpoints have them
_loading = threading.Lock()


def load_checkpoint(source: str | os.PathLike, map_location: str | Callable | None = "cpu") -> dict:
    """Loads a checkpoint or a state dict as data: no code in it is run. Everything in this package loads with it.

    Only tensors and plain containers, numbers and text are loaded: torch's ``weights_only=True``, without the types
    that MMEngine and other libraries have declared safe. `meta["config"]`, which MMEngine runs as code when it resumes,
    is left out. The checksum of every entry is compared first; only files older than torch 1.6 have none.

    Args:
        source: See :func:`locate`.
        map_location: As in torch.load.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or holds anything but data; names the file and what to do.
    """
    path = locate(source)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint{of_the_zoo()}")
    if fault := damage(path):
        raise ValueError(f"{path}: damaged, or not a checkpoint ({fault}): {_way_out(path)}")
    checkpoint = _load_data(path, map_location)
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{path}: not a checkpoint: it holds a {type(checkpoint).__name__}, not a dict")
    wrong = [key for key in _MAPPINGS if not isinstance(checkpoint.get(key, {}), dict)]
    if wrong:
        raise ValueError(f"{path}: not a checkpoint of MMEngine: its {wrong[0]!r} is not a dict")
    if checkpoint.get("meta", {}).pop("config", None) is not None:
        from mmengine.logging import print_log

        print_log(f"{path}: meta['config'], which MMEngine would run as code, is ignored", "current", logging.WARNING)
    return checkpoint


def locate(source: str | os.PathLike) -> Path:
    """The file, which may be missing, that weights are named by.

    Args:
        source: File, torch's or `.safetensors`; an address, which is downloaded once; or the name of weights that are
            installed with the package, where there is no file of that name.
    """
    text = str(source)
    if is_address(text):
        return _download(text)
    path = Path(source).expanduser()
    return ZOO / text / HUB_WEIGHTS if not path.exists() and text in shipped() else path


def is_address(source: str | os.PathLike) -> bool:
    """Whether weights are published somewhere, not a local file of a run."""
    return "://" in str(source)


def shipped() -> list[str]:
    """Names of the weights that are installed with the package."""
    return sorted(file.parent.name for file in ZOO.glob(f"*/{HUB_WEIGHTS}"))


def of_the_zoo() -> str:
    """The names of :func:`shipped`, as the end of an error."""
    return f"; weights that come with the package: {', '.join(shipped())}" if shipped() else ""


def damage(path: Path) -> str | None:
    """What is wrong with the bytes of a checkpoint: empty, cut short, a wrong checksum; None if nothing is."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        if stream.read(4) != b"PK\3\4":  # as torch tells the formats apart
            return None if size else "the file is empty"
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            # what unpacks to more than the file takes would fill the memory
            if any(e.compress_type for e in entries) or sum(e.file_size for e in entries) > size:
                return "it has compressed entries, which torch.save does not write"
            wrong = archive.testzip()
    except Exception as error:  # zipfile raises anything at damaged files
        return str(error) or type(error).__name__
    return f"the checksum of {wrong} is wrong" if wrong else None


def _load_data(path: Path, map_location: str | Callable | None) -> object:
    import torch  # slow

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with _nothing_declared_safe():
            return torch.load(path, map_location, weights_only=True)
    except (torch.OutOfMemoryError, ImportError):
        raise
    except Exception as error:  # empty, cut off, text, pickled objects: each has its own
        if found := re.search(r"(?:GLOBAL|global|class|function) ([\w.<>]+\.[\w.<>]+|getattr|eval|exec)", str(error)):
            raise ValueError(
                f"{path}: holds pickled objects ({found[1]}), which can run code and are not loaded. If you trust its "
                "source, save its tensors alone: torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW)"
            ) from None
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise ValueError(f"{path}: not a checkpoint that can be read ({reason}): {_way_out(path)}") from None


@contextmanager
def _nothing_declared_safe() -> Iterator[None]:
    """Empties torch's list of types that other libraries have declared safe to unpickle; some are not."""
    from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

    with _loading:  # two at once would leave it empty
        declared = get_safe_globals()
        clear_safe_globals()
        try:
            yield
        finally:
            add_safe_globals(declared)


def _download(address: str) -> Path:
    """The file of an address in torch's folder of downloads; one process downloads it and the others wait."""
    import torch  # slow
    from filelock import FileLock

    name = os.path.basename(urlparse(address).path)
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{name}.lock"):
        if not (folder / name).exists():
            torch.hub.download_url_to_file(address, str(folder / name))
    return folder / name


def _way_out(path: Path) -> str:
    """What to use instead of a file: the newest whole checkpoint beside it, if there is one."""
    others = (Path(file) for file in newest_first(str(path.parent), (*RESUMABLE, "best_*.pth")))
    whole = next((file for file in others if file.name != path.name and damage(file) is None), None)
    other = f"take {whole}, the newest whole checkpoint beside it" if whole else "name another file"
    return f"copy it again, or {other}"


def latest_checkpoint(work_dir: str) -> str | None:
    """The checkpoint that MMEngine recorded last, or else the newest one in the folder."""
    note = os.path.join(work_dir, "last_checkpoint")
    if os.path.isfile(note):
        with open(note, errors="surrogateescape") as stream:
            path = stream.read().strip()
        # the work dir may have been moved or copied since
        for candidate in (os.path.join(work_dir, os.path.basename(path)), path):
            if os.path.isfile(candidate):
                return candidate
    return next(iter(newest_first(work_dir, RESUMABLE)), None)


def best_checkpoint(work_dir: str) -> str | None:
    """The checkpoint to test: the classifier on frozen features, the best on validation images, or the last one."""
    for pattern in ("linear.pth", "knn.pth", "best_*.pth"):
        if found := newest_first(work_dir, (pattern,)):
            return found[0]
    return latest_checkpoint(work_dir)


def newest_first(work_dir: str, patterns: tuple[str, ...]) -> list[str]:
    """Files in a folder that match any of the patterns, the one written last first."""
    return sorted(files_in(work_dir, patterns), key=os.path.getmtime, reverse=True)


def files_in(work_dir: str, patterns: tuple[str, ...]) -> list[str]:
    """Files in a folder that match any of the patterns."""
    paths = (path for pattern in patterns for path in glob.glob(os.path.join(glob.escape(work_dir), pattern)))
    return [path for path in paths if os.path.isfile(path)]


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
