"""The model of a runner."""

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def unwrap_model(runner: Runner) -> nn.Module:
    """The runner's model without DDP around it."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
