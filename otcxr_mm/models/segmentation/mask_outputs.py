"""Mixin of MMSegmentation's EncoderDecoder: masks that may overlap."""

from collections.abc import Sequence

from mmengine.config import ConfigDict
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor
from torch.nn.functional import interpolate


class MaskOutputs:
    """Makes EncoderDecoder predict K binary maps per image, at the size of the original.

    Predicted samples hold `mask_scores`, sigmoid, float (K, H, W), and `pred_masks`, bool (K, H, W).

    Args:
        test_cfg: As EncoderDecoder's; default: the whole image at once.
        **kwargs: Other arguments of EncoderDecoder.
    """

    def __init__(self, test_cfg: dict | None = None, **kwargs: object) -> None:
        super().__init__(test_cfg=ConfigDict(test_cfg or dict(mode="whole")), **kwargs)

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Logits (n, K, h, w), without MMSegmentation's warning that the originals differ in size."""
        slide = self.test_cfg.get("mode", "whole") == "slide"
        return (self.slide_inference if slide else self.whole_inference)(inputs, batch_img_metas)

    def postprocess_result(self, seg_logits: Tensor, data_samples: Sequence[BaseDataElement]) -> list[BaseDataElement]:
        """Adds `mask_scores` and `pred_masks` to the samples, at the size `ori_shape`."""
        for logits, sample in zip(seg_logits, data_samples, strict=True):
            size = sample.ori_shape[:2]
            # resizing logits, not scores, keeps the contour in place between pixels
            logits = interpolate(logits[None].float(), size=size, mode="bilinear", align_corners=self.align_corners)
            scores = logits[0].sigmoid()
            sample.mask_scores = PixelData(data=scores)
            sample.pred_masks = PixelData(data=scores > self.decode_head.threshold)
        return list(data_samples)
