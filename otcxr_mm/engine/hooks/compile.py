"""Compiles a part of the model for training."""

from operator import attrgetter

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...registry import HOOKS
from ..model import unwrap_model


@HOOKS.register_module()
class CompileHook(Hook):
    """Compiles the forward pass of the backbone, or of another part, with torch.compile while training runs.

    MMEngine's `compile = True` compiles the whole training step, with the loss and the optimiser, which breaks into
    many graphs, and its FlexibleRunner ignores it. Here names in checkpoints stay as they are, hooks on the part run
    uncompiled, and the part is as before when training ends.

    Args:
        target: The part, such as ``'backbone'`` or ``'backbone.layer4'``.
        **kwargs: See torch.compile; ``fullgraph=True`` makes a part that does not compile as one graph an error.
    """

    def __init__(self, target: str = "backbone", **kwargs: object) -> None:
        self.target, self.kwargs = target, kwargs

    def before_train(self, runner: Runner) -> None:
        """Compiles; torch does the work in the first iteration."""
        self.part = attrgetter(self.target)(unwrap_model(runner))
        for module in self.part.modules():  # drop path's rates are NumPy's, a branch on which breaks the graph
            if isinstance(getattr(module, "drop_prob", None), np.generic):
                module.drop_prob = float(module.drop_prob)
        self.part.forward = torch.compile(self.part.forward, **self.kwargs)
        runner.logger.info(f"{self.target} is compiled in the first iteration, which takes longer")

    def after_train(self, runner: Runner) -> None:
        """Restores the part."""
        del self.part.forward
