"""What makes MMSegmentation's EncoderDecoder one of masks."""

from collections.abc import Sequence

from mmengine.config import ConfigDict
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor
from torch.nn.functional import interpolate

from ...utils.mmseg import require_mmseg


class MaskOutputs:
    """Mixed into EncoderDecoder: predictions are K binary maps an image, at the size of the original.

    Predicted samples hold `mask_scores`, float (K, H, W), sigmoid, and `pred_masks`, bool (K, H, W).

    Args:
        test_cfg: See EncoderDecoder's; default the whole image at once.
        **kwargs: See EncoderDecoder's.
    """

    def __init__(self, test_cfg: dict | None = None, **kwargs: object) -> None:
        super().__init__(test_cfg=ConfigDict(test_cfg or dict(mode="whole")), **kwargs)

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Logits (n, K, h, w); that originals differ in size is usual and needs no warning."""
        slide = self.test_cfg.get("mode", "whole") == "slide"
        return (self.slide_inference if slide else self.whole_inference)(inputs, batch_img_metas)

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: Sequence[BaseDataElement] | None = None
    ) -> list[BaseDataElement]:
        """Samples with `mask_scores` and `pred_masks` at the size `ori_shape`."""
        if data_samples is None:
            sample_type = require_mmseg("otcxr_mm.MaskSegmentor", "mmseg.structures").SegDataSample
            data_samples = [sample_type() for _ in seg_logits]
        for logits, sample in zip(seg_logits, data_samples, strict=True):
            size = tuple(sample.get("ori_shape", logits.shape[1:])[:2])
            # logits, not scores: the contour stays where it is between pixels
            logits = interpolate(logits[None].float(), size=size, mode="bilinear", align_corners=self.align_corners)
            scores = logits[0].sigmoid()
            sample.mask_scores = PixelData(data=scores)
            sample.pred_masks = PixelData(data=scores > self.decode_head.threshold)
        return list(data_samples)
