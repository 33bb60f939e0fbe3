"""Collectives with gradients, on any back end (gloo, nccl); identities in a single process.

Every process computes the statistics of the global batch, and backward sums the gradients that all processes send to
its part. DDP's mean over processes then equals the gradient of a single process with the whole batch.
"""

import torch
import torch.distributed as torch_dist
from torch import Tensor


def world_size() -> int:
    """Number of processes; 1 without torch.distributed."""
    return torch_dist.get_world_size() if torch_dist.is_available() and torch_dist.is_initialized() else 1


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # noqa: ANN001
        ctx.rows = x.shape[0]
        parts = [torch.empty_like(x) for _ in range(torch_dist.get_world_size())]
        torch_dist.all_gather(parts, x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # noqa: ANN001
        grad = grad.contiguous()
        torch_dist.all_reduce(grad)
        start = torch_dist.get_rank() * ctx.rows
        return grad[start : start + ctx.rows]


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # noqa: ANN001
        x = x.clone()
        torch_dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # noqa: ANN001
        grad = grad.clone()
        torch_dist.all_reduce(grad)
        return grad


def gather(x: Tensor) -> Tensor:
    """Concatenates the `x` of all R processes along the batch, with gradient.

    Args:
        x: (B, ...), with the same shape in every process (MMEngine's samplers pad the data set so that it is).

    Returns:
        (R B, ...), in the order of the ranks; `x` itself in a single process.
    """
    return x if world_size() == 1 else _Gather.apply(x.contiguous())


def all_reduce_sum(x: Tensor) -> Tensor:
    """Sum of `x` over all processes, with gradient.

    Args:
        x: With the same shape in every process.

    Returns:
        The sum; `x` itself in a single process.
    """
    return x if world_size() == 1 else _AllReduceSum.apply(x)
