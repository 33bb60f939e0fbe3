"""Asymmetric loss for labels that may be unknown."""

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.functional import logsigmoid

from ...ops.precision import to_float32
from ...registry import MODELS


@MODELS.register_module()
class MaskedAsymmetricLoss(BaseModule):
    """Mean asymmetric loss (Ben-Baruch et al., ICCV 2021) over the labels that are known.

    With p the probability and p_m = max(p - clip, 0), a positive costs -(1 - p)^gamma_pos log p, a negative
    -p_m^gamma_neg log(1 - p_m): easy negatives, of which most labels of radiographs consist, count for little.

    Args:
        gamma_pos: Exponent for positives.
        gamma_neg: Exponent for negatives.
        clip: Probability below which a negative costs nothing.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: For a negative exponent, or `clip` outside [0, 1).
    """

    def __init__(
        self, gamma_pos: float = 0.0, gamma_neg: float = 4.0, clip: float = 0.05, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        if min(gamma_pos, gamma_neg) < 0 or not 0 <= clip < 1:
            raise ValueError(
                f"MaskedAsymmetricLoss: exponents >= 0 and clip in [0, 1), got gamma_pos={gamma_pos}, "
                f"gamma_neg={gamma_neg}, clip={clip}"
            )
        self.gamma_pos, self.gamma_neg, self.clip, self.loss_weight = gamma_pos, gamma_neg, clip, loss_weight

    def forward(self, cls_score: Tensor, label: Tensor, **kwargs: object) -> Tensor:
        """Loss of logits.

        Args:
            cls_score: (n, C).
            label: (n, C), 1, 0, or NaN for unknown.
            **kwargs: What MMPretrain's heads pass besides (`avg_factor`); the mean is always over the known labels.

        Returns:
            The weighted mean; 0, with a gradient of 0, if no label is known.

        Raises:
            ValueError: For shapes that differ.
        """
        if cls_score.shape != label.shape:
            raise ValueError(
                f"scores {tuple(cls_score.shape)}, labels {tuple(label.shape)}: does num_classes of the head fit?"
            )
        known, scores = torch.isfinite(label), to_float32(cls_score)
        positive = label == 1
        probability = scores.sigmoid()
        shifted = (probability - self.clip).clamp_min(0)
        # log(1 - p) by the logit where nothing is clipped off: exact for p near 1
        log_negative = logsigmoid(-scores) if self.clip == 0 else torch.log1p(-shifted)
        losses = torch.where(
            positive,
            # a power below 1 has no gradient at 0
            -((-scores).sigmoid().clamp_min(1e-12) ** self.gamma_pos) * logsigmoid(scores),
            -(shifted.clamp_min(1e-12) ** self.gamma_neg) * log_negative,
        )
        return self.loss_weight * torch.where(known, losses, 0).sum() / known.sum().clamp_min(1)
