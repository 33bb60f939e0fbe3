"""Mixin of MMSegmentation's decode heads: masks that may overlap."""

from collections.abc import Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.nn.functional import interpolate


class MaskHead:
    """Makes a decode head give K binary maps that may overlap, instead of one class per pixel.

    Args:
        num_classes: Number of maps, K.
        loss_decode: Config of a loss (logits, masks) -> dict of losses; default: :class:`otcxr_mm.MaskLoss`.
        threshold: Scores above it are inside.
        **kwargs: Arguments of MMSegmentation's head.
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
        """Computes the losses of logits (n, K, h, w), resized to the masks.

        Raises:
            ValueError: If the masks differ in size, or do not have `num_classes` classes.
        """
        masks = [sample.gt_masks.data for sample in batch_data_samples]
        shapes = sorted({tuple(mask.shape) for mask in masks})
        if len(shapes) > 1 or shapes[0][0] != self.num_classes:
            raise ValueError(
                f"num_classes={self.num_classes}, and masks of the shapes (classes, height, width) {shapes}: training "
                "needs one size, as otcxr_mm.MaskedCrop gives, and as many classes as the data set's mask_classes"
            )
        logits = interpolate(seg_logits, size=shapes[0][1:], mode="bilinear", align_corners=self.align_corners)
        return self.loss_decode(logits, torch.stack(masks).to(logits.device))
