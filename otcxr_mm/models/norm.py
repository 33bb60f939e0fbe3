"""Batch normalisation over the global batch."""

import torch
from torch import Tensor, nn

from ..ops.dist import all_reduce_sum, world_size
from ..ops.precision import to_float32


class CrossRankBatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation of (n, C) with the statistics of all processes, with gradient.

    Unlike torch's SyncBatchNorm, it accepts CPU tensors, so that two gloo processes equal one. In a single process it
    is torch's own batch norm.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalises x, (n, C), where n may differ between processes."""
        if not self.training or world_size() == 1:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            wide = to_float32(x)
            moments = all_reduce_sum(torch.cat([wide.sum(0), wide.new_full((1,), wide.shape[0])]))
            n = moments[-1].detach()
            mean = moments[:-1] / n
            centred = wide - mean
            var = all_reduce_sum(centred.square().sum(0)) / n
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.detach().to(self.running_mean), self.momentum)
            self.running_var.lerp_((var.detach() * n / (n - 1)).to(self.running_var), self.momentum)
            out = centred * torch.rsqrt(var + self.eps) * self.weight + self.bias
        return out.to(x.dtype)
