"""VICReg's objective (Bardes, Ponce, LeCun, ICLR 2022) for MMPretrain's two-view algorithms."""

from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.functional import mse_loss

from ...ops import gather
from ...ops.precision import to_float32
from ...registry import MODELS


@MODELS.register_module()
class VICRegHead(BaseModule):
    """Invariance, variance and covariance of two viewpoints' embeddings.

    Goes with ``type='BarlowTwins'`` of MMPretrain, whose part is backbone, neck, and the call of the head:
    `configs/demo/vicreg_r18_synthetic.py`. The default weights are VICReg's 25 : 25 : 1 with its code's halved variance
    sum. Statistics are those of the global batch.

    Args:
        inv_weight: Weight of the mean squared difference.
        loss_var: Config of :class:`otcxr_mm.VarianceLoss`, for a viewpoint.
        loss_cov: Config of :class:`otcxr_mm.CovarianceLoss`, for a viewpoint.
    """

    def __init__(self, inv_weight: float = 25.0, loss_var: dict | None = None, loss_cov: dict | None = None) -> None:
        super().__init__()
        self.inv_weight = inv_weight
        self.loss_var = MODELS.build({"type": "otcxr_mm.VarianceLoss", **(loss_var or {})})
        self.loss_cov = MODELS.build({"type": "otcxr_mm.CovarianceLoss", **(loss_cov or {})})

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The objective of two viewpoints.

        Args:
            x: Embeddings of one viewpoint, (B, D).
            y: Those of the other, (B, D).

        Returns:
            A scalar.

        Raises:
            ValueError: If the global batch is a single image.
        """
        x, y = to_float32(x), to_float32(y)
        statistics = sum(self.loss_var(z) + self.loss_cov(z) for z in (gather(x), gather(y)))
        return self.inv_weight * mse_loss(x, y) + statistics
