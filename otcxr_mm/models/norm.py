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
        """Normalises x, (n, C), where n may differ between processes.

        Raises:
            ValueError: In training, if the only process has a single sample.
        """
        if self.training and world_size() == 1 and x.shape[0] < 2:
            raise ValueError(
                f"a batch norm needs at least 2 samples to train on, got {tuple(x.shape)}: raise the batch size, or "
                "set drop_last=True if only the last batch of an epoch is that small"
            )
        if not self.training or world_size() == 1:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            wide = to_float32(x)
            moments = all_reduce_sum(torch.cat([wide.sum(0), wide.new_full((1,), wide.shape[0])]))
            n = moments[-1].detach()
            mean = moments[:-1] / n
            centred = wide - mean
            var = all_reduce_sum(centred.square().sum(0)) / n
            if self.track_running_stats:
                self._track(mean.detach(), var.detach() * n / (n - 1))
            out = centred * torch.rsqrt(var + self.eps)
            if self.affine:
                out = out * self.weight + self.bias
        return out.to(x.dtype)

    def _track(self, mean: Tensor, unbiased_var: Tensor) -> None:
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        self.running_var.lerp_(unbiased_var.to(self.running_var), self.momentum)
