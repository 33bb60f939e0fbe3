"""Collectives with gradients on any back end (gloo, nccl); identities in a single process.

Every process computes the statistics of the global batch, and the backward pass sums the gradients that all processes
send to its part. DDP's mean over processes then equals the gradient of a single process with the whole batch.
"""

import torch.distributed as torch_dist
from torch import Tensor


def world_size() -> int:
    """Number of processes; 1 without torch.distributed."""
    return torch_dist.get_world_size() if torch_dist.is_available() and torch_dist.is_initialized() else 1


def all_reduce_sum(x: Tensor) -> Tensor:
    """Sums `x` over all processes, with gradient.

    Args:
        x: Of the same shape in every process. Means over a batch can be summed, too: MMEngine's samplers pad the data
            set so that every process has as many images.
    """
    if world_size() == 1:
        return x
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(x)


def all_reduce_mean(x: Tensor) -> Tensor:
    """Mean of `x` over all processes, with gradient: :func:`all_reduce_sum` divided by their number."""
    return all_reduce_sum(x) / world_size()
