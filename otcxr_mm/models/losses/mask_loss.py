"""Binary cross-entropy and soft Dice of masks."""

from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ...ops.precision import to_float32
from ...registry import MODELS


@MODELS.register_module()
class MaskLoss(BaseModule):
    """Binary cross-entropy plus soft Dice, each a mean over images and classes.

    The Dice term of an image and class is ``1 - (2 sum p y + s) / (sum p + sum y + s)``, with sums over the pixels; it
    is 0 if mask and prediction are empty.

    Args:
        bce_weight: Factor of the cross-entropy.
        dice_weight: Factor of the Dice term.
        smooth: s, in pixels, above 0.

    Raises:
        ValueError: If a weight is negative, or `smooth` is not above 0.
    """

    def __init__(self, bce_weight: float = 1.0, dice_weight: float = 1.0, smooth: float = 1.0) -> None:
        super().__init__()
        if min(bce_weight, dice_weight) < 0 or smooth <= 0:
            raise ValueError(
                f"MaskLoss: bce_weight, dice_weight >= 0, smooth > 0; got {bce_weight}, {dice_weight}, {smooth}"
            )
        self.bce_weight, self.dice_weight, self.smooth = bce_weight, dice_weight, smooth

    def forward(self, logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Computes the losses of logits.

        Args:
            logits: Logits, (n, K, H, W).
            masks: Masks of 0 or 1, (n, K, H, W).

        Returns:
            `loss_bce` and `loss_dice`, weighted scalars.

        Raises:
            ValueError: For shapes that differ.
        """
        if logits.shape != masks.shape:
            raise ValueError(
                f"logits {tuple(logits.shape)}, masks {tuple(masks.shape)}: does num_classes of the head fit?"
            )
        logits = to_float32(logits)
        masks = masks.to(logits)
        bce = binary_cross_entropy_with_logits(logits, masks)
        scores = logits.sigmoid()
        common, total = (scores * masks).sum((2, 3)), scores.sum((2, 3)) + masks.sum((2, 3))
        dice = 1 - (2 * common + self.smooth) / (total + self.smooth)
        return {"loss_bce": self.bce_weight * bce, "loss_dice": self.dice_weight * dice.mean()}
