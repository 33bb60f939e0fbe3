"""What makes a decode head of MMSegmentation one of masks."""

from collections.abc import Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.nn.functional import interpolate


class MaskHead:
    """Mixed into a decode head: K binary maps that may overlap, in place of one class a pixel.

    Args:
        num_classes: K.
        loss_decode: A loss (logits, masks) -> dict of losses; default :class:`otcxr_mm.MaskLoss`.
        threshold: Scores above it are inside.
        **kwargs: See MMSegmentation's head.
    """

    def __init__(
        self, num_classes: int, loss_decode: dict | None = None, threshold: float = 0.5, **kwargs: object
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            out_channels=num_classes,
            loss_decode=loss_decode or dict(type="otcxr_mm.MaskLoss"),
            threshold=threshold,
            **kwargs,
        )

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of logits (n, K, h, w), brought to the size of the masks.

        Raises:
            ValueError: If the samples have another number of classes, or masks of several sizes.
        """
        masks = [sample.gt_masks.data for sample in batch_data_samples]
        shapes = sorted({tuple(mask.shape) for mask in masks})
        if len(shapes) > 1 or shapes[0][0] != self.num_classes:
            raise ValueError(
                f"num_classes={self.num_classes}, and masks of the shapes (classes, height, width) {shapes}: training "
                "needs one size, which otcxr_mm.MaskedCrop makes, and as many classes as the data set's mask_classes"
            )
        logits = interpolate(seg_logits, size=shapes[0][1:], mode="bilinear", align_corners=self.align_corners)
        return self.loss_decode(logits, torch.stack(masks).to(logits.device))
