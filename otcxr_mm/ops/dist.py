"""Collectives with gradients on any back end (gloo, nccl); identities in a single process.

Every process computes the statistics of the global batch, and the backward pass sums the gradients that all processes
send to its part. DDP's mean over processes then equals the gradient of a single process with the whole batch.
"""

import torch
import torch.distributed as torch_dist
from torch import Tensor


def world_size() -> int:
    """Number of processes; 1 without torch.distributed."""
    return torch_dist.get_world_size() if torch_dist.is_available() and torch_dist.is_initialized() else 1


def gather(x: Tensor) -> Tensor:
    """Concatenates the `x` of all R processes along the batch, with gradient.

    Args:
        x: (B, ...), with the same shape in every process (MMEngine's samplers pad the data set so that it is).

    Returns:
        (R B, ...), in the order of the ranks; `x` itself in a single process.
    """
    if world_size() == 1:
        return x
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(x))


def all_reduce_sum(x: Tensor) -> Tensor:
    """Sums `x`, which has the same shape in every process, over all of them, with gradient."""
    if world_size() == 1:
        return x
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(x)
