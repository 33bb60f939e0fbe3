"""Statistics of batch norm for a network that was never trained."""

import torch
from mmengine.dist import broadcast
from torch import nn
from torch.utils.data import DataLoader


@torch.no_grad()
def calibrate_batch_norm(model: nn.Module, loader: DataLoader, images: int = 1024) -> None:
    """Sets the statistics of batch norm to those of a loader's first images, averaged over its batches."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    seen = 0
    for batch in loader:
        data = model.data_preprocessor(batch, False)
        model.extract_feat(data["inputs"])
        seen += len(data["inputs"])
        if seen >= images:
            break
    model.eval()
    for norm in norms:  # those of the first process's images, in all processes
        broadcast(norm.running_mean)
        broadcast(norm.running_var)
