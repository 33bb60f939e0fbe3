"""MMSegmentation's decode heads with one sigmoid map a class. Imports MMSegmentation."""

from collections.abc import Sequence

import torch
from mmseg.models.decode_heads.fcn_head import FCNHead
from mmseg.models.decode_heads.uper_head import UPerHead
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor


class MaskHead:
    """Mixed into a decode head: K binary maps that may overlap, in place of one class a pixel.

    Args:
        num_classes: K.
        loss_decode: A loss (logits, masks) -> dict of losses, such as :class:`otcxr_mm.MaskLoss`.
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

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: Sequence[SegDataSample]) -> dict[str, Tensor]:
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
        logits = resize(seg_logits, size=shapes[0][1:], mode="bilinear", align_corners=self.align_corners)
        return self.loss_decode(logits, torch.stack(masks).to(logits.device))


class FCN(MaskHead, FCNHead):
    """FCNHead for masks."""


class UPer(MaskHead, UPerHead):
    """UPerHead for masks."""
