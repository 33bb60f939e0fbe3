"""What runs were: tables with a row per fact and a column per run."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..utils.redaction import shareable, without_places
from .curves import Scalar, summary
from .runs import short
from .text import MISSING, percent
from .training import Training

_ROLES = {"train": "training", "val": "validation", "test": "test"}
_SECTIONS = ("train_dataloader", "val_dataloader", "test_dataloader")


@dataclass
class Grid:
    """A table.

    Attributes:
        caption: What it shows.
        head: Names of the columns; the first column names the rows.
        rows: Cells as text.
    """

    caption: str
    head: list[str]
    rows: list[list[str]]


def run_grid(trainings: Sequence[Training]) -> Grid:
    """What each run was and how far it came."""
    rows: dict[str, Callable[[Training], str]] = {
        "State": lambda run: run.state,
        "Progress": _progress,
        "Starts": _starts,
        "Method": lambda run: _text(run.manifest.get("method")) if run.manifest.get("protocol") else "",
        "Protocol": lambda run: _text(run.manifest.get("protocol")),
        "Config": lambda run: _text(run.manifest.get("config")),
        "Config, SHA-256": lambda run: short(run.manifest.get("config_sha256") or ""),
        "Model": lambda run: _types(run.config.get("model")),
        "Backbone": lambda run: _arguments((run.config.get("model") or {}).get("backbone")),
        "Backbone starts from": lambda run: _backbone(run.manifest),
        "Optimiser": lambda run: _arguments((run.config.get("optim_wrapper") or {}).get("optimizer")),
        "Batch size": lambda run: _batch(run.manifest),
        "Training patients": _share,
        "Seed": lambda run: _text(run.manifest.get("seed")),
    }
    return _grid("What was run", rows, trainings)


def data_grid(trainings: Sequence[Training]) -> Grid:
    """The data of each run: counts and hashes."""
    rows = {}
    for role, title in _ROLES.items():
        rows |= {
            f"{title.capitalize()}: data set": lambda run, role=role: _dataset(run, role),
            f"{title.capitalize()}: images": lambda run, role=role: _text(_data(run, role).get("images")),
            f"{title.capitalize()}: patients": lambda run, role=role: _text(_data(run, role).get("patients")),
            f"{title.capitalize()}: SHA-256": lambda run, role=role: short(_data(run, role).get("sha256") or ""),
        }
    return _grid("Images, patients, and SHA-256 of the list of both", rows, trainings)


def environment_grid(trainings: Sequence[Training]) -> Grid:
    """Versions, devices and state of the code."""
    names = dict.fromkeys(name for run in trainings for name in _versions(run))
    rows = {name: lambda run, name=name: _text(_versions(run).get(name)) for name in names}
    rows["devices"] = lambda run: ", ".join(run.manifest.get("devices") or ())
    rows["commit of otcxr_mm"] = lambda run: _text(run.manifest.get("git"))
    return _grid("Versions, devices and code", rows, trainings)


def settings_grids(trainings: Sequence[Training]) -> tuple[Grid, Grid]:
    """Settings that differ between the runs, and all others; only those that name no folder."""
    flat = [dict(_flattened("", shareable(run.config))) for run in trainings]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    rows = [[key, *(settings.get(key, "") for settings in flat)] for key in keys]
    differ = [row for row in rows if len(set(row[1:])) > 1]
    same = [row[:2] for row in rows if len(set(row[1:])) == 1]
    head = ["Setting", *(run.name for run in trainings)]
    return Grid("Settings that differ", head, differ), Grid("Settings", ["Setting", "Value"], same)


def value_grid(group: str, scalars: Sequence[Scalar], trainings: Sequence[Training]) -> Grid:
    """The first and last values of scalars, and their ranges, of the runs that have any."""
    having = [i for i in range(len(trainings)) if any(scalar.values[i] for scalar in scalars)]
    rows = [[scalar.name, *(summary(scalar.values[i]) or MISSING for i in having)] for scalar in scalars]
    return Grid(f"{group}: first and last values", ["Name", *(trainings[i].name for i in having)], rows)


def _grid(caption: str, rows: Mapping[str, Callable[[Training], str]], trainings: Sequence[Training]) -> Grid:
    """A table without the rows that are empty for all runs."""
    cells = [[name, *(value(run) or MISSING for run in trainings)] for name, value in rows.items()]
    kept = [row for row in cells if set(row[1:]) != {MISSING}]
    return Grid(caption, ["", *(run.name for run in trainings)], kept)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _progress(run: Training) -> str:
    last = max((max(values) for values in run.scalars.values()), default=0)
    epoch = run.starts[-1].log.last[0] if run.starts and run.starts[-1].log.last else None
    lengths = run.config.get("train_cfg") or {}
    of = {unit: f" of {lengths[key]}" if lengths.get(key) else "" for unit, key in _LENGTHS.items()}
    epochs = f"epoch {epoch}{of['epoch']}, " if epoch else ""
    return f"{epochs}iteration {last}{of['iteration']}" if last and run.starts[-1].log.last else ""


_LENGTHS = {"epoch": "max_epochs", "iteration": "max_iters"}


def _starts(run: Training) -> str:
    """When each start began, and where it resumed."""
    texts = []
    for start in run.starts:
        resumed = start.manifest.get("resumed")
        time = re.sub(r"^(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)$", r"\1-\2-\3 \4:\5:\6", start.folder.name)
        texts.append(time + (f" (resumed after iteration {resumed['iteration']})" if resumed else ""))
    return ", ".join(texts)


def _types(part: object) -> str:
    """Types of a model, its neck and its head."""
    parts = [part, *(part.get(name) for name in ("neck", "head", "decode_head"))] if isinstance(part, Mapping) else []
    types = (str(found["type"]) for found in parts if isinstance(found, Mapping) and "type" in found)
    return ", ".join(name.removeprefix("otcxr_mm.") for name in types)


def _arguments(part: object) -> str:
    """A type with its plain arguments."""
    kept = shareable({"model": part})["model"] if isinstance(part, Mapping) else {}
    plain = {key: value for key, value in kept.items() if not isinstance(value, (Mapping, list))}
    return ", ".join([str(plain.pop("type", "")), *(f"{key} {value}" for key, value in plain.items())]).strip(", ")


def _backbone(manifest: Mapping) -> str:
    if "backbone" not in manifest:
        return ""
    found = manifest["backbone"]
    return f"{found['file']}, SHA-256 {short(found['sha256'] or 'unknown')}" if found else "random weights"


def _batch(manifest: Mapping) -> str:
    size, processes = manifest.get("batch_size"), manifest.get("world_size")
    return f"{size} images x {processes} process{'es' if processes > 1 else ''}" if size and processes else ""


def _share(run: Training) -> str:
    fraction = run.manifest.get("fraction")
    return "" if fraction is None else f"{percent(fraction)}, draw {run.manifest.get('draw', 0)}"


def _data(run: Training, role: str) -> Mapping:
    """Counts of a data set; those of the test set may be known from the test only."""
    found = run.manifest.get(role)
    return found or (run.tested.test if role == "test" and run.tested else {})


def _dataset(run: Training, role: str) -> str:
    data = _data(run, role)
    return " ".join(str(data[key]) for key in ("type", "split") if data.get(key))


def _versions(run: Training) -> Mapping[str, object]:
    """From the manifest, or else from the log."""
    return run.manifest.get("versions") or (run.starts[-1].log.environment if run.starts else {})


def _flattened(prefix: str, value: object) -> list[tuple[str, str]]:
    """Settings as keys with dots; short lists of plain values stay together."""
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
        items = enumerate(value)
    else:
        return [(prefix, _plain(value))]
    return [pair for key, inner in items for pair in _flattened(f"{prefix}.{key}" if prefix else str(key), inner)]


def _plain(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return without_places(json.dumps(value))
