"""Schedules any number of the model."""

import math

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...registry import HOOKS
from ..model import unwrap_model


@HOOKS.register_module()
class AttributeScheduleHook(Hook):
    """Moves a number of the model from `start` to `end` along half a cosine, such as eps or a prior's weight.

    The value is a pure function of the iteration, so there is nothing to save or resume.

    Args:
        attribute: Dotted path of the number, such as ``'head.loss_ot.eps'``.
        start: First value.
        end: Last value.

    Raises:
        AttributeError: Before training, if the model has no such number.
    """

    def __init__(self, attribute: str, start: float, end: float) -> None:
        self.attribute, self.start, self.end = attribute, start, end

    def value(self, progress: float) -> float:
        """The number at a share of training, in [0, 1]."""
        return self.start + (self.end - self.start) * (1 - math.cos(math.pi * progress)) / 2

    def before_train(self, runner: Runner) -> None:
        """Finds the attribute."""
        owner = unwrap_model(runner)
        *path, self.name = self.attribute.split(".")
        for part in path:
            owner = getattr(owner, part)
        if not isinstance(getattr(owner, self.name), (int, float)):
            raise AttributeError(f"AttributeScheduleHook: {self.attribute} of the model is not a number")
        self.owner = owner

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        """Sets the number."""
        setattr(self.owner, self.name, self.value(runner.iter / max(runner.max_iters - 1, 1)))
