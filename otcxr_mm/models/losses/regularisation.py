"""Variance and covariance terms (VICReg, ICLR 2022) as modules with a weight."""

from mmengine.model import BaseModule
from torch import Tensor

from ...ops import covariance, variance
from ...registry import MODELS


@MODELS.register_module()
class VarianceLoss(BaseModule):
    """Weighted hinge on the standard deviation, :func:`otcxr_mm.ops.variance`.

    Args:
        gamma: Standard deviation below which a feature is penalised.
        eps: Under the square root.
        loss_weight: beta. VICReg's published 25 with its code's halved sum of two viewpoints is 12.5 a viewpoint.
    """

    def __init__(self, gamma: float = 1.0, eps: float = 1e-4, loss_weight: float = 12.5) -> None:
        super().__init__()
        self.gamma, self.eps, self.loss_weight = gamma, eps, loss_weight

    def forward(self, x: Tensor, dof: int | None = None) -> Tensor:
        """Loss of samples.

        Args:
            x: (n, D).
            dof: Degrees of freedom; default n - 1.

        Returns:
            A scalar, weighted.

        Raises:
            ValueError: With fewer than 2 samples.
        """
        return self.loss_weight * variance(x, gamma=self.gamma, eps=self.eps, dof=dof)


@MODELS.register_module()
class CovarianceLoss(BaseModule):
    """Weighted squared off-diagonal covariance, :func:`otcxr_mm.ops.covariance`.

    Args:
        loss_weight: eta.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, x: Tensor, dof: int | None = None) -> Tensor:
        """Loss of samples.

        Args:
            x: (n, D).
            dof: Degrees of freedom; default n - 1.

        Returns:
            A scalar, weighted.

        Raises:
            ValueError: With fewer than 2 samples.
        """
        return self.loss_weight * covariance(x, dof=dof)
