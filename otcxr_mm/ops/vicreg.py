"""Variance and covariance regularisation (Bardes, Ponce, LeCun, VICReg, ICLR 2022, Eqs. 1, 3 and 4)."""

import torch
from torch import Tensor

from .precision import full_precision


def _centred(x: Tensor, dof: int | None) -> tuple[Tensor, int]:
    """Samples less their mean, which is a constant: second moments have the same gradient either way."""
    dof = x.shape[0] - 1 if dof is None else dof
    if dof < 1:
        raise ValueError(
            f"a variance needs at least 2 samples, got {tuple(x.shape)} with {dof} degrees of freedom: increase the "
            "batch size, or set drop_last=True if only the last batch of an epoch is too small"
        )
    return x - x.detach().mean(0), dof


@full_precision
def covariance_matrix(x: Tensor, *, dof: int | None = None) -> Tensor:
    """Covariance matrix of the features, which :func:`variance_of` and :func:`covariance_of` share.

    Args:
        x: Samples, (n, D); or tokens, (B, N, D), from which the batch mean at each position is subtracted, as
            :func:`position_centred` does.
        dof: Divisor; default: n - 1, or N (B - 1).

    Returns:
        (D, D). Its first derivative is exact; it has no second.

    Raises:
        ValueError: With fewer than 2 samples.
    """
    if x.dim() == 3 and dof is None:
        dof = x.shape[1] * (x.shape[0] - 1)
    x, dof = _centred(x, dof)
    x = x.flatten(0, -2)
    # both factors have the same gradient: one product of the backward pass is enough
    half = x.T @ x.detach() / dof
    return half + (half - half.detach()).T


@full_precision
def variance_of(matrix: Tensor, *, gamma: float = 1.0, eps: float = 1e-4) -> Tensor:
    """:func:`variance` of samples with the covariance matrix (D, D)."""
    return torch.relu(gamma - torch.sqrt(matrix.diagonal() + eps)).mean()


@full_precision
def covariance_of(matrix: Tensor) -> Tensor:
    """:func:`covariance` of samples with the covariance matrix (D, D)."""
    off_diagonal = matrix - torch.diag(matrix.diagonal())
    return off_diagonal.square().sum() / matrix.shape[0]


@full_precision
def variance(x: Tensor, *, gamma: float = 1.0, eps: float = 1e-4, dof: int | None = None) -> Tensor:
    """Hinge on the standard deviation of each feature: ``1/D sum_d max(0, gamma - sqrt(Var(x_d) + eps))``.

    Args:
        x: Samples, (n, D).
        gamma: Standard deviation below which a feature is penalised.
        eps: Added to the variance, which bounds the gradient of the square root.
        dof: Divisor of the variance; default: n - 1.

    Returns:
        A scalar in [0, gamma]. VICReg's code adds those of both views and halves the sum; this function does not.

    Raises:
        ValueError: With fewer than 2 samples.
    """
    x, dof = _centred(x, dof)
    std = torch.sqrt(x.square().sum(0) / dof + eps)
    return torch.relu(gamma - std).mean()


@full_precision
def covariance(x: Tensor, *, dof: int | None = None) -> Tensor:
    """Squared off-diagonal covariance: ``1/D sum_{i != j} Cov_ij^2``.

    Args:
        x: Samples, (n, D).
        dof: Divisor of the covariance; default: n - 1.

    Returns:
        A non-negative scalar.

    Raises:
        ValueError: With fewer than 2 samples.
    """
    return covariance_of(covariance_matrix(x, dof=dof))


@full_precision
def position_centred(tokens: Tensor) -> tuple[Tensor, int]:
    """Subtracts the batch mean at each position from the tokens.

    The tokens of a network that outputs a table f(position) and ignores the image have variance when flattened, but
    their residuals are 0.

    Args:
        tokens: (B, N, D).

    Returns:
        Residuals (B N, D) and their degrees of freedom N (B - 1), for :func:`variance` and :func:`covariance`.
    """
    residual = tokens - tokens.mean(0, keepdim=True)
    return residual.flatten(0, 1), tokens.shape[1] * (tokens.shape[0] - 1)
