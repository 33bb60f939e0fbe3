"""The model of a runner, and how to look at it without a trace."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel

from ..datasets.seeding import kept_generators


def unwrap_model(runner: Runner) -> nn.Module:
    """The runner's model without DDP around it. Under FSDP each process has only a share of its weights."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def is_sharded(runner: Runner) -> bool:
    """Whether FSDP splits the weights of the runner's model among the processes."""
    return isinstance(runner.model, FullyShardedDataParallel)


def refuse_sharded(runner: Runner, what: str) -> None:
    """Raises an error for what needs the whole model in one process.

    Raises:
        ValueError: Under FSDP.
    """
    if is_sharded(runner):
        raise ValueError(f"{what} needs the whole model in each process, which FSDP splits: remove it, or use DDP")


def backbone_weights(runner: Runner) -> dict[str, Tensor]:
    """All weights of the backbone. Under FSDP every process must call it, and only the main one gets them."""
    if not is_sharded(runner):
        return unwrap_model(runner).backbone.state_dict()
    prefix, weights = "backbone.", runner.model.state_dict()
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


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
