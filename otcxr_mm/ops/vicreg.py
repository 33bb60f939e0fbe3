"""Variance and covariance regularisation (Bardes, Ponce, LeCun, VICReg, ICLR 2022, Eqs. 1, 3 and 4)."""

import torch
from torch import Tensor

from .dist import all_reduce_mean, all_reduce_sum, world_size
from .precision import full_precision


@full_precision
def covariance_matrix(x: Tensor) -> Tensor:
    """Covariance matrix of the features over the samples of all processes.

    Each process adds its share of the second moments, so that D^2 numbers are exchanged, whatever the batch.

    Args:
        x: Samples, (n, D); or tokens, (B, N, D), from which the mean over the images at each position is subtracted.
            The tokens of a network that outputs a table f(position) and ignores the image have variance when
            flattened, but not then. The same shape in every process.

    Returns:
        (D, D), unbiased: the divisor is n - 1, or N (B - 1), with n and B counted over all processes. Its first
        derivative is exact; it has no second.

    Raises:
        ValueError: With fewer than 2 samples, or the tokens of a single image.
    """
    dof = (world_size() * x.shape[0] - 1) * x.shape[1:-1].numel()
    if dof < 1:
        raise ValueError(
            f"a variance needs at least 2 samples, got {tuple(x.shape)} with {dof} degrees of freedom: increase the "
            "batch size, or set drop_last=True if only the last batch of an epoch is too small"
        )
    # the mean is a constant: second moments have the same gradient either way
    mean = all_reduce_mean(x.detach().mean(0))
    x = (x - mean).flatten(0, -2)
    # both factors have the same gradient: one product of the backward pass is enough
    half = all_reduce_sum(x.T @ x.detach() / dof)
    return half + (half - half.detach()).T


@full_precision
def variance(matrix: Tensor, *, gamma: float = 1.0, eps: float = 1e-4) -> Tensor:
    """Hinge on the standard deviation of each feature: ``1/D sum_d max(0, gamma - sqrt(Var(x_d) + eps))``.

    Args:
        matrix: From :func:`covariance_matrix`, (D, D).
        gamma: Standard deviation below which a feature is penalised.
        eps: Added to the variance, which bounds the gradient of the square root.

    Returns:
        A scalar in [0, gamma]. VICReg's code adds those of both views and halves the sum; this function does not.
    """
    return torch.relu(gamma - torch.sqrt(matrix.diagonal() + eps)).mean()


@full_precision
def covariance(matrix: Tensor) -> Tensor:
    """Squared off-diagonal covariance: ``1/D sum_{i != j} Cov_ij^2``, of a :func:`covariance_matrix` (D, D)."""
    off_diagonal = matrix - torch.diag(matrix.diagonal())
    return off_diagonal.square().sum() / matrix.shape[0]
