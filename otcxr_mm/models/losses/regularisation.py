"""Variance and covariance regularisation (VICReg, ICLR 2022) as modules with a weight."""

from mmengine.model import BaseModule
from torch import Tensor

from ...ops import covariance, variance
from ...registry import MODELS


@MODELS.register_module()
class VarianceLoss(BaseModule):
    """beta var(q): a hinge on the standard deviation of each feature, :func:`otcxr_mm.ops.variance`.

    Args:
        gamma: Standard deviation below which a feature is penalised.
        eps: Added to the variance.
        loss_weight: beta. VICReg's published 25, with the halved sum over two views of its code, is 12.5 per view.
    """

    def __init__(self, gamma: float = 1.0, eps: float = 1e-4, loss_weight: float = 12.5) -> None:
        super().__init__()
        self.gamma, self.eps, self.loss_weight = gamma, eps, loss_weight

    def forward(self, matrix: Tensor) -> Tensor:
        """Weighted loss of features with the covariance matrix (D, D), a scalar."""
        return self.loss_weight * variance(matrix, gamma=self.gamma, eps=self.eps)


@MODELS.register_module()
class CovarianceLoss(BaseModule):
    """eta cov(q): the squared off-diagonal covariance, :func:`otcxr_mm.ops.covariance`.

    Args:
        loss_weight: eta.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, matrix: Tensor) -> Tensor:
        """Weighted loss of features with the covariance matrix (D, D), a scalar."""
        return self.loss_weight * covariance(matrix)
