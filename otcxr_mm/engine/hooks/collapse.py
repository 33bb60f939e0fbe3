"""Whether the representation collapses."""

from collections import deque

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.functional import normalize

from ...ops import effective_rank
from ...registry import HOOKS
from ..model import bare_model


@HOOKS.register_module()
class CollapseMonitorHook(Hook):
    """Prints, after each epoch, what the backbone's pooled features of the last images seen look like.

    The effective rank (exponential of the entropy of the singular values of the centred features) counts the directions
    that are used; their mean cosine is 1 and their standard deviation 0 when all images look the same. No further
    forward pass: it keeps the features, averaged over space, that training computes anyway, of one process.

    Args:
        samples: Number of images; each is there with two viewpoints.
        warn_below: Effective rank under which a warning is printed.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, samples: int = 512, warn_below: float = 10.0) -> None:
        self.samples, self.warn_below = samples, warn_below
        self.features: deque[Tensor] = deque()

    def _keep(self, module: nn.Module, args: tuple, output: object) -> None:
        if not module.training:
            return
        last = output[-1] if isinstance(output, (tuple, list)) else output
        self.features.append(last.detach().float().flatten(2).mean(2) if last.dim() == 4 else last.detach().float())
        while sum(map(len, self.features)) - len(self.features[0]) >= 2 * self.samples:
            self.features.popleft()

    def before_train(self, runner: Runner) -> None:
        """Listens to the backbone."""
        model = bare_model(runner)
        self.handle = model.backbone.register_forward_hook(self._keep)

    def after_train_epoch(self, runner: Runner) -> None:
        """Prints and logs the three numbers."""
        if not self.features:
            return
        features = torch.cat(list(self.features))
        self.features.clear()
        if len(features) < 2:
            return
        rank, std = effective_rank(features).item(), features.std(0).mean().item()
        # mean cosine of two different features: that of all pairs less the diagonal
        n, mean = len(features), normalize(features, dim=1).mean(0)
        cosine = ((n * mean.dot(mean) - 1) / (n - 1)).item()
        for name, value in (("rank", rank), ("std", std), ("cosine", cosine)):
            runner.message_hub.update_scalar(f"train/backbone_{name}", value)
        limit = min(n - 1, features.shape[1])
        runner.logger.info(
            f"Epoch {runner.epoch + 1}: backbone features of the last {n} viewpoints: effective rank {rank:.1f} "
            f"(at most {limit}), std {std:.4f}, mean cosine {cosine:.3f}"
        )
        if rank < min(self.warn_below, limit / 2):
            runner.logger.warning(
                f"the effective rank of the backbone's features, {rank:.1f}, is below {self.warn_below}: if it keeps "
                "falling the representation collapses; lower the learning rate or raise the weight of loss_var"
            )

    def after_train(self, runner: Runner) -> None:
        """Stops listening."""
        self.handle.remove()
