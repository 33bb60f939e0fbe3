"""Features of a frozen backbone: computed once and kept in files."""

import hashlib
import io
import os
from pathlib import Path

import mmpretrain
import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, collect_results, is_main_process
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from ...datasets import BaseCXRDataset
from ...datasets.inspection import data_sha256
from ...utils.checkpoints import load_checkpoint
from ...utils.files import write_whole
from ...version import __version__
from ..model import unwrap_model

Features = tuple[Tensor, Tensor]
NOTHING = torch.empty(0), torch.empty(0)


def features_of(runner: Runner, loader: DataLoader, width: int, folder: Path) -> Features:
    """Features (n, D) and labels (n, C) of a loader's images, on the CPU, in the data set's order.

    They are read from a file if an earlier run had the same weights, images, labels and pipeline, and are empty in all
    processes but the main one.

    Args:
        runner: Its model is an ImageClassifier.
        loader: The runner's training or validation loader.
        width: Number of features that the head takes.
        folder: Folder of the files, which hold only data sets of this package.

    Raises:
        ValueError: If the backbone and neck give another number of features.
    """
    key = _key(runner, loader) if is_main_process() else None
    file = folder / f"{key}.pth" if key else None
    stored = _stored(file, runner) if file is not None and file.is_file() else None
    found = [stored is not None]
    broadcast_object_list(found)
    if not found[0]:
        x, y = extract(runner, loader, width)
        if file is not None:
            buffer = io.BytesIO()
            torch.save({"features": x, "labels": y}, buffer)
            write_whole(file, buffer.getbuffer())
            runner.logger.info(f"features of {len(x)} images written to {file}, {file.stat().st_size / 1e6:.0f} MB")
        return x, y
    return NOTHING if stored is None else stored


def _stored(file: Path, runner: Runner) -> Features | None:
    """Features and labels from a file; None, with a warning, if it is damaged."""
    try:
        state = load_checkpoint(file)
        stored = state["features"], state["labels"]
    except (ValueError, KeyError) as error:
        runner.logger.warning(f"features are computed again, because they cannot be read: {error}")
        return None
    runner.logger.info(f"features read from {file}")
    return stored


@torch.no_grad()
def extract(runner: Runner, loader: DataLoader, width: int) -> Features:
    """Computes what :func:`features_of` returns."""
    model = unwrap_model(runner)
    model.eval()
    rows = []
    for batch in loader:
        data = model.data_preprocessor(batch, False)
        feats = model.extract_feat(data["inputs"])[-1].float().cpu()
        if feats.shape[1] != width:
            raise ValueError(
                f"model.head.in_channels={width}, but the backbone and neck give features of {feats.shape[1]} "
                f"channels: set it to {feats.shape[1]}"
            )
        # a view would be pickled with the whole batch's storage
        labels = [sample.gt_score.float().cpu() for sample in data["data_samples"]]
        rows += [(feature.clone(), label) for feature, label in zip(feats, labels, strict=True)]
    rows = collect_results(rows, len(loader.dataset), "cpu")
    if rows is None:  # not the main process
        return NOTHING
    return torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows])


def _key(runner: Runner, loader: DataLoader) -> str | None:
    """A digest of all that the features and labels depend on; None for data sets that are not of this package."""
    dataset, model = loader.dataset, unwrap_model(runner)
    if not isinstance(dataset, BaseCXRDataset):
        return None
    dataset.full_init()
    role = "train" if loader is runner.train_dataloader else "val"
    pipeline = runner.cfg[f"{role}_dataloader"]["dataset"].get("pipeline")
    # with the same weights, strides or an activation make another network
    network = {key: value for key, value in runner.cfg.model.items() if key != "head"}
    settings = Config(dict(pipeline=pipeline, network=network, drop_last=loader.drop_last)).pretty_text
    versions = (__version__, mmpretrain.__version__, torch.__version__)
    # a file that has been changed under its old name is another image
    packed = dataset.packed.folder if dataset.packed is not None else None
    files = sorted(packed.iterdir()) if packed else [dataset.root / path for path in dataset.records.path.tolist()]
    stamps = [(found.st_size, found.st_mtime_ns) for found in map(_stat, files)]
    facts = (settings, versions, data_sha256(dataset), str(dataset.root), stamps)
    digest = hashlib.sha256(repr(facts).encode() + dataset.records.labels.tobytes())
    for name, tensor in model.state_dict().items():
        if not name.startswith("head."):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _stat(file: Path) -> os.stat_result:
    """What the file system says of an image; of one inside an archive (MedMNIST's npz), of the archive."""
    try:
        return os.stat(file)
    except NotADirectoryError:
        return _stat(file.parent)
