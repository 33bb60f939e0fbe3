"""Detects a collapse of the representation."""

from collections import deque

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.functional import normalize

from ...ops import effective_rank
from ...registry import HOOKS
from ..model import unwrap_model

WARN_BELOW = 10.0


@HOOKS.register_module()
class CollapseMonitorHook(Hook):
    """Logs statistics of the backbone's pooled features after each epoch.

    The effective rank (the exponential of the entropy of the singular values of the centred features) counts the
    directions in use. If all images look the same, the mean cosine is 1 and the standard deviation 0. There is no extra
    forward pass: the hook keeps the features that training computes anyway, averaged over space, from one process.

    Args:
        samples: Number of images, the last ones seen; each contributes two views.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, samples: int = 512) -> None:
        self.samples = samples
        self.features: deque[Tensor] = deque()

    def _keep(self, module: nn.Module, args: tuple, output: object) -> None:
        if not module.training:
            return
        last = output[-1] if isinstance(output, (tuple, list)) else output
        self.features.append(last.detach().float().flatten(2).mean(2) if last.dim() == 4 else last.detach().float())
        while sum(map(len, self.features)) - len(self.features[0]) >= 2 * self.samples:
            self.features.popleft()

    def before_train(self, runner: Runner) -> None:
        """Registers a forward hook on the backbone."""
        model = unwrap_model(runner)
        self.handle = model.backbone.register_forward_hook(self._keep)

    def after_train_epoch(self, runner: Runner) -> None:
        """Logs the three numbers."""
        if not self.features:
            return
        features = torch.cat(list(self.features))
        self.features.clear()
        if len(features) < 2:
            return
        rank, std = effective_rank(features).item(), features.std(0).mean().item()
        # mean cosine of two different features: that of all pairs, without the diagonal
        n, mean = len(features), normalize(features, dim=1).mean(0)
        cosine = ((n * mean.dot(mean) - 1) / (n - 1)).item()
        for name, value in (("rank", rank), ("std", std), ("cosine", cosine)):
            runner.message_hub.update_scalar(f"train/backbone_{name}", value)
        limit = min(n - 1, features.shape[1])
        runner.logger.info(
            f"Epoch {runner.epoch + 1}: backbone features of the last {n} views: effective rank {rank:.1f} "
            f"(at most {limit}), std {std:.4f}, mean cosine {cosine:.3f}"
        )
        if rank < min(WARN_BELOW, limit / 2):
            runner.logger.warning(
                f"the effective rank of the backbone's features, {rank:.1f}, is below {WARN_BELOW}: if it keeps "
                "falling, the representation is collapsing; lower the learning rate or raise the weight of loss_var"
            )

    def after_train(self, runner: Runner) -> None:
        """Removes the forward hook."""
        self.handle.remove()
