"""Statistics of batch norm for a network that was never trained."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader


@torch.no_grad()
def calibrate_batch_norm(model: nn.Module, loader: DataLoader, images: int = 1024) -> None:
    """Sets the statistics of the backbone's and the neck's batch norm to those of some of a loader's images.

    The images are drawn from the data set, the same for any sampler and number of processes: tables are often sorted
    by class. The statistics are averaged over the batches.

    Args:
        model: With `backbone`, `data_preprocessor` and `extract_feat`, as MMPretrain's and MMSegmentation's.
        loader: Of the training images.
        images: At most so many.
    """
    parts = [part for part in (model.backbone, getattr(model, "neck", None)) if isinstance(part, nn.Module)]
    norms = [m for part in parts for m in part.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momentum = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average of the batches
        norm.train()
    chosen = np.random.default_rng(0).permutation(len(loader.dataset))[:images]
    for start in range(0, len(chosen), 64):
        batch = loader.collate_fn([loader.dataset[int(i)] for i in chosen[start : start + 64]])
        model.extract_feat(model.data_preprocessor(batch, False)["inputs"])
    model.eval()
    for norm, before in zip(norms, momentum, strict=True):
        norm.momentum = before
