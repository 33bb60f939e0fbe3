"""How many directions a representation uses."""

import torch
from torch import Tensor

from .precision import full_precision


@full_precision
def effective_rank(x: Tensor) -> Tensor:
    r"""Exponential of the entropy of the normalised singular values of the centred features.

    1 for a representation on a line, min(n - 1, D) for an isotropic one.

    Args:
        x: Features, (n, D).

    Returns:
        A scalar; 0 if all rows are equal.

    Source: Roy and Vetterli, EUSIPCO 2007.
    """
    singular = torch.linalg.svdvals(x - x.mean(0))
    total = singular.sum()
    # equal rows leave nothing but rounding errors
    if total <= torch.finfo(x.dtype).eps * x.abs().max() * max(x.shape):
        return total.new_zeros(())
    p = singular / total
    return torch.exp(-torch.xlogy(p, p).sum())
