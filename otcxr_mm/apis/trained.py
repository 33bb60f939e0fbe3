"""Trained weights with the settings that they need: read and built without running any code of theirs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.dataset import Compose
from torch import nn

from ..backbones.convert import backbone_of
from ..backbones.names import under_names_of
from ..backbones.preprocessing import WHITE
from ..backbones.weights import stem_of
from ..datasets.transforms.loading import LoadCXR
from ..datasets.transforms.resize import resize
from ..registry import MODELS, TRANSFORMS
from ..utils.building import build_untrusted
from ..utils.checkpoints import HUB_WEIGHTS, best_checkpoint, load_checkpoint, locate, of_the_zoo, trained_config
from ..utils.configs import leaf_specs


@dataclass(frozen=True)
class Trained:
    """Weights, as they were read.

    Attributes:
        path: Of the file.
        checkpoint: Its content.
        cfg: The run's config as plain settings; None if the file has none, such as a `backbone.pth`.
    """

    path: Path
    checkpoint: Mapping
    cfg: dict | None

    @property
    def scope(self) -> str | None:
        """The run's `default_scope`."""
        return (self.cfg or {}).get("default_scope")

    @property
    def meta(self) -> Mapping:
        """What MMEngine and this package keep beside the weights."""
        return self.checkpoint.get("meta") or {}


def read_trained(source: "str | os.PathLike | Trained", whole: bool = False) -> Trained:
    """Finds and reads weights.

    Args:
        source: Work dir of a run, a checkpoint, a `backbone.pth` with its JSON, a folder of
            :func:`otcxr_mm.export_folder`, or the name of weights of the model zoo; or what was read before.
        whole: Whether a whole model is wanted. Of a work dir, the checkpoint is then taken that `otcxr test` takes;
            otherwise its `backbone.pth`, if there is one.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the file is not a checkpoint, or would run code.
    """
    if isinstance(source, Trained):
        return source
    path = locate(source)
    if path.is_dir():
        exported = path / "backbone.pth"
        found = None if whole or not exported.is_file() else exported
        hub = path / HUB_WEIGHTS
        path = Path(found or best_checkpoint(str(path)) or (hub if hub.is_file() else exported))
    if not path.is_file():
        raise FileNotFoundError(
            f"{source}: no weights here: name the work dir of a run, one of its checkpoints, or a backbone.pth"
            f"{of_the_zoo()}"
        )
    checkpoint = load_checkpoint(path)
    return Trained(path, checkpoint, trained_config(checkpoint))


def build_model(trained: Trained) -> nn.Module:
    """Builds the model of a run, in evaluation mode, with the weights of its checkpoint.

    Raises:
        ValueError: If the file has no config that can be read, names a part that is not registered, or lacks weights.
    """
    if trained.cfg is None or not isinstance(trained.cfg.get("model"), dict):
        raise ValueError(
            f"{trained.path}: not the checkpoint of a run, whose config can be read; a classifier or segmentation "
            "model is needed here (for features of a backbone.pth: otcxr embed)"
        )
    settings = dict(trained.cfg["model"])
    if settings.get("data_preprocessor") is None and trained.cfg.get("data_preprocessor"):
        settings["data_preprocessor"] = trained.cfg["data_preprocessor"]
    model = build_untrusted(settings, MODELS, trained.scope, trained.path)
    state = trained.checkpoint.get("state_dict") or {}
    fill(model, {name.removeprefix("module."): value for name, value in state.items()}, trained.path)
    return model


def build_backbone(trained: Trained) -> tuple[nn.Module, dict]:
    """Builds a backbone, in evaluation mode, with its weights.

    Returns:
        The network, and its record: `channels`, `mean`, `std`, `size`, `max_value`, as `backbone.json` has them.

    Raises:
        ValueError: As :func:`build_model`.
    """
    state, record = backbone_of(trained.path, trained.checkpoint)
    scope = trained.scope or (record.get("config") or {}).get("default_scope")
    backbone = build_untrusted(record["backbone"], MODELS, scope, trained.path)
    # the names may be timm's there
    state = under_names_of(backbone, state) if trained.path.name == HUB_WEIGHTS else state
    fill(backbone, state, trained.path)
    if record.get("channels") is None:
        stem = stem_of(state)
        record = {**record, "channels": state[stem].shape[1] if stem else 1}
    return backbone, record


def fill(model: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Loads weights, all of them, and sets evaluation mode.

    Raises:
        ValueError: If a weight is missing or has another shape; names the first.
    """
    try:
        missing = model.load_state_dict(state, strict=False).missing_keys
    except RuntimeError as error:  # other shapes, all of which it lists
        first = str(error).strip().splitlines()[1:2] or [str(error)]
        raise ValueError(f"{path}: does not fit its own settings: {first[0].strip()}") from None
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(f"{path}: lacks {len(missing)} of the model's weights, {missing[0]} first")
    model.eval()  # does not return the module in MMPretrain


def run_steps(trained: Trained, max_value: int | None = None) -> Compose:
    """The steps by which a run reads its test images, up to the array.

    Args:
        trained: Of the run.
        max_value: White level of 16-bit files, instead of the run's.

    Raises:
        ValueError: If the config has none.
    """
    loaders = ((trained.cfg or {}).get(f"{role}_dataloader") for role in ("test", "val"))
    datasets = (loader.get("dataset") for loader in loaders if isinstance(loader, Mapping))
    specs = [next(leaf_specs(dataset)) for dataset in datasets if isinstance(dataset, Mapping)]
    settings = next((spec["pipeline"] for spec in specs if spec.get("pipeline")), None)
    if not isinstance(settings, list) or not all(isinstance(step, Mapping) for step in settings):
        raise ValueError(f"{trained.path}: its config has no pipeline in test_dataloader or val_dataloader")
    # what packs has labels and masks in mind, which nobody has here
    settings = [step for step in settings if not _name(step).startswith("Pack")]
    steps = [build_untrusted(step, TRANSFORMS, trained.scope, trained.path) for step in settings]
    return _with_white(Compose(steps), max_value)


def record_steps(record: Mapping, max_value: int | None = None, size: int | None = None) -> Compose:
    """The steps for a backbone of which only the record is there: reads and resizes, averaging areas.

    Args:
        record: With `size` and `max_value`.
        max_value: White level of 16-bit files, instead of the recorded one.
        size: Side in pixels, instead of the recorded one.

    Raises:
        ValueError: If no size is known.
    """
    size = size or record.get("size")
    if size is None:
        raise ValueError("the record of this backbone has no size of the images: give it with size=")
    white = record.get("max_value")
    # the default is recorded as a number, but only without one a suspiciously dark image is refused
    load = LoadCXR(None if white == WHITE else white)
    return _with_white(Compose([load, _Fit(*((size, size) if isinstance(size, int) else size))]), max_value)


@dataclass(frozen=True)
class _Fit:
    """Resizes `img` (H, W) by the one rule of this package."""

    height: int
    width: int

    def __call__(self, results: dict) -> dict:
        return {**results, "img": resize(results["img"], self.height, self.width)}


def _name(step: Mapping) -> str:
    return str(step.get("type")).rpartition(".")[2]


def _with_white(steps: Compose, max_value: int | None) -> Compose:
    for step in steps.transforms:
        if max_value is not None and isinstance(step, LoadCXR):
            step.max_value = max_value
    return steps
