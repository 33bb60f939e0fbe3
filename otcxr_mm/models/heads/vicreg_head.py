"""VICReg's objective (Bardes, Ponce, LeCun, ICLR 2022) for MMPretrain's two-view algorithms."""

from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.functional import mse_loss

from ...ops import gather
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
        loss_var: Config of :class:`otcxr_mm.VarianceLoss`, applied to each view.
        loss_cov: Config of :class:`otcxr_mm.CovarianceLoss`, applied to each view.
    """

    def __init__(self, inv_weight: float = 25.0, loss_var: dict | None = None, loss_cov: dict | None = None) -> None:
        super().__init__()
        self.inv_weight = inv_weight
        self.loss_var = MODELS.build({"type": "otcxr_mm.VarianceLoss", **(loss_var or {})})
        self.loss_cov = MODELS.build({"type": "otcxr_mm.CovarianceLoss", **(loss_cov or {})})

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
        statistics = sum(self.loss_var(z) + self.loss_cov(z) for z in (gather(x), gather(y)))
        return self.inv_weight * mse_loss(x, y) + statistics
