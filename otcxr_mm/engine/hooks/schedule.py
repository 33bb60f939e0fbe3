"""Schedules any number of the model."""

import math

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...registry import HOOKS
from ..model import unwrap_model


@HOOKS.register_module()
class AttributeScheduleHook(Hook):
    """Moves a number of the model from `start` to `end`, such as eps from 0.1 to 0.05 or a prior's weight to 0.

    The value is a pure function of the iteration, so there is nothing to save or resume.

    Args:
        attribute: Dotted path of the number, such as ``'head.loss_ot.eps'``.
        start: First value.
        end: Last value.
        begin: Share of training at which it starts to move.
        until: Share of training at which it reaches `end`.
        shape: ``'cosine'`` or ``'linear'``.

    Raises:
        ValueError: For another shape or an empty range.
        AttributeError: Before training, if the model has no such number.
    """

    def __init__(
        self,
        attribute: str,
        start: float,
        end: float,
        begin: float = 0.0,
        until: float = 1.0,
        shape: str = "cosine",
    ) -> None:
        if shape not in ("cosine", "linear") or not 0 <= begin < until <= 1:
            raise ValueError(
                f"AttributeScheduleHook: shape must be 'cosine' or 'linear', and 0 <= begin < until <= 1; "
                f"got {shape!r}, {begin}, {until}"
            )
        self.attribute, self.start, self.end = attribute, start, end
        self.begin, self.until, self.shape = begin, until, shape

    def value(self, progress: float) -> float:
        """The number at a share of training.

        Args:
            progress: In [0, 1].
        """
        x = min(max((progress - self.begin) / (self.until - self.begin), 0.0), 1.0)
        x = (1 - math.cos(math.pi * x)) / 2 if self.shape == "cosine" else x
        return self.start + (self.end - self.start) * x

    def before_train(self, runner: Runner) -> None:
        """Finds the attribute.

        Raises:
            AttributeError: If the model has no such number.
        """
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
