"""VICReg's objective (Bardes, Ponce, LeCun, ICLR 2022) for MMPretrain's two-view algorithms."""

from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.functional import mse_loss

from ...ops import covariance, covariance_matrix, variance
from ...ops.precision import to_float32
from ...registry import MODELS


@MODELS.register_module()
class VICRegHead(BaseModule):
    """Invariance, variance and covariance of the embeddings of two views.

    Use it in MMPretrain's ``type='BarlowTwins'``, which calls backbone, neck and head, as
    `configs/demo/vicreg_r18_synthetic.py` does. The default weights are VICReg's 25 : 25 : 1 with the halved variance
    sum of its code. Statistics are those of the global batch.

    Args:
        inv_weight: Weight of the mean squared difference.
        var_weight: Weight of the variance of each view.
        cov_weight: Weight of the covariance of each view.
    """

    def __init__(self, inv_weight: float = 25.0, var_weight: float = 12.5, cov_weight: float = 1.0) -> None:
        super().__init__()
        self.inv_weight, self.var_weight, self.cov_weight = inv_weight, var_weight, cov_weight

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Computes the objective of two views.

        Args:
            x: Embeddings of one view, (B, D).
            y: Embeddings of the other view, (B, D).

        Returns:
            A scalar.

        Raises:
            ValueError: If the global batch is a single image.
        """
        x, y = to_float32(x), to_float32(y)
        matrices = covariance_matrix(x), covariance_matrix(y)
        statistics = sum(self.var_weight * variance(m) + self.cov_weight * covariance(m) for m in matrices)
        return self.inv_weight * mse_loss(x, y) + statistics
