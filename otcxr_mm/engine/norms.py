"""Statistics of batch norm for a network that was never trained, or on other images."""

import numpy as np
import torch
from mmpretrain.models import BaseSelfSupervisor
from torch import nn
from torch.utils.data import DataLoader


@torch.no_grad()
def calibrate_batch_norm(model: nn.Module, loader: DataLoader, images: int = 1024) -> None:
    """Sets the statistics of the backbone's and the neck's batch norm to those of some of a loader's images.

    A neck that takes several views is left out.

    The images are drawn from the data set, the same for any sampler and number of processes: tables are often sorted
    by class. The statistics are averaged over the batches.

    Args:
        model: With `backbone`, `data_preprocessor` and `extract_feat`, as MMPretrain's and MMSegmentation's.
        loader: Of the training images.
        images: At most so many.
    """
    extract = model.backbone if isinstance(model, BaseSelfSupervisor) else model.extract_feat
    parts = [model.backbone, *([model.neck] if extract is not model.backbone and hasattr(model, "neck") else [])]
    parts = [part for part in parts if isinstance(part, nn.Module)]
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
        inputs = model.data_preprocessor(batch, False)["inputs"]
        for view in inputs if isinstance(inputs, list) else [inputs]:
            extract(view)
    model.eval()
    for norm, before in zip(norms, momentum, strict=True):
        norm.momentum = before
