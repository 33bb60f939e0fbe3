"""Binary cross-entropy and soft Dice of masks."""

from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ...ops.precision import to_float32
from ...registry import MODELS


@MODELS.register_module()
class MaskLoss(BaseModule):
    """Binary cross-entropy plus soft Dice, each a mean over images and classes.

    The Dice term of an image and class is ``1 - (2 sum p y + 1) / (sum p + sum y + 1)``, with sums over the pixels; it
    is 0 if mask and prediction are empty.
    """

    def forward(self, logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Computes the losses of logits.

        Args:
            logits: Logits, (n, K, H, W).
            masks: Masks of 0 or 1, (n, K, H, W).

        Returns:
            `loss_bce` and `loss_dice`, scalars.
        """
        logits = to_float32(logits)
        masks = masks.to(logits)
        scores = logits.sigmoid()
        common, total = (scores * masks).sum((2, 3)), scores.sum((2, 3)) + masks.sum((2, 3))
        dice = 1 - (2 * common + 1) / (total + 1)
        return {"loss_bce": binary_cross_entropy_with_logits(logits, masks), "loss_dice": dice.mean()}
