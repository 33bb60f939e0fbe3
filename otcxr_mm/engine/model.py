"""The model of a runner, and how to look at it without a trace."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from ..datasets.seeding import kept_generators


def unwrap_model(runner: Runner) -> nn.Module:
    """The runner's model without DDP around it."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def pooled(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """The last output of a backbone, (n, D); feature maps are averaged over space. Detached, float32."""
    last = output[-1] if isinstance(output, (tuple, list)) else output
    last = last.detach().float()
    return last.flatten(2).mean(2) if last.dim() == 4 else last


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Within it, a model in training is in evaluation mode, without gradients; training goes on as if nothing had been.

    Each module gets its own mode back (frozen parts are in evaluation mode in training too), and so do the generators
    of Python, NumPy and torch. Batch norm in evaluation mode changes no statistics.
    """
    modes = [(module, module.training) for module in model.modules()]
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with kept_generators(), torch.random.fork_rng(devices), torch.no_grad():
        for module, _ in modes:
            module.training = False  # eval() may have side effects
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
