"""Multi-label classification losses for labels that may be unknown."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from ...ops.precision import to_float32
from ...registry import MODELS


class _MaskedLoss(BaseModule):
    """Mean over the known labels of a loss per label, which a subclass defines."""

    def __init__(self, loss_weight: float) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, cls_score: Tensor, label: Tensor, **kwargs: object) -> Tensor:
        """Computes the loss of logits.

        Args:
            cls_score: Logits, (n, C).
            label: 1, 0, or NaN for unknown, (n, C).
            **kwargs: Other arguments of MMPretrain's heads (`avg_factor`), ignored.

        Returns:
            The weighted mean over the known labels, a scalar; 0, with a gradient of 0, if no label is known.

        Raises:
            ValueError: If the shapes differ, or the positives have not been counted.
        """
        if cls_score.shape != label.shape:  # those of one class would broadcast
            raise ValueError(
                f"scores {tuple(cls_score.shape)}, labels {tuple(label.shape)}: does num_classes of the head fit?"
            )
        known, scores = torch.isfinite(label), to_float32(cls_score)
        losses = self._per_label(scores, torch.where(known, label, 0).to(scores))
        return self.loss_weight * torch.where(known, losses, 0).sum() / known.sum().clamp_min(1)

    def _per_label(self, scores: Tensor, label: Tensor) -> Tensor:
        raise NotImplementedError


@MODELS.register_module()
class MaskedBCELoss(_MaskedLoss):
    """Mean binary cross-entropy over the known labels, for MMPretrain's multi-label heads.

    Args:
        pos_weight: Weight of the positives of each class, (C,); None: 1; ``'train'``: negatives / positives of the
            training images, counted by :class:`otcxr_mm.PositiveWeightHook` before training.
        loss_weight: Factor of the loss.
    """

    def __init__(self, pos_weight: Sequence[float] | str | None = None, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.register_buffer("pos_weight", None, persistent=False)
        self.waits_for_counts = pos_weight == "train"
        if pos_weight is not None and not self.waits_for_counts:
            self.set_pos_weight(pos_weight)

    def set_pos_weight(self, weight: Sequence[float]) -> None:
        """Sets the weights of the positives, one per class."""
        self.pos_weight = torch.tensor(weight, dtype=torch.float32)
        self.waits_for_counts = False

    def _per_label(self, scores: Tensor, label: Tensor) -> Tensor:
        if self.waits_for_counts:
            raise ValueError(
                "MaskedBCELoss: pos_weight='train' needs otcxr_mm.PositiveWeightHook, which counts the training "
                "labels: add default_hooks = dict(positive_weight=dict(type='otcxr_mm.PositiveWeightHook'))"
            )
        weight = None if self.pos_weight is None else self.pos_weight.to(scores)
        return binary_cross_entropy_with_logits(scores, label, pos_weight=weight, reduction="none")


@MODELS.register_module()
class MaskedAsymmetricLoss(_MaskedLoss):
    """Mean asymmetric loss (Ben-Baruch et al., ICCV 2021) over the known labels.

    With p the probability and p_m = max(p - clip, 0), a positive costs -(1 - p)^gamma_pos log p, a negative
    -p_m^gamma_neg log(1 - p_m). Easy negatives, the bulk of a radiograph's labels, count for little.

    Args:
        gamma_pos: Exponent for positives.
        gamma_neg: Exponent for negatives.
        clip: Probability below which a negative costs nothing.
        loss_weight: Factor of the loss.
    """

    def __init__(
        self, gamma_pos: float = 0.0, gamma_neg: float = 4.0, clip: float = 0.05, loss_weight: float = 1.0
    ) -> None:
        super().__init__(loss_weight)
        self.gamma_pos, self.gamma_neg, self.clip = gamma_pos, gamma_neg, clip

    def _per_label(self, scores: Tensor, label: Tensor) -> Tensor:
        shifted = (scores.sigmoid() - self.clip).clamp_min(0)
        # without a clip, log(1 - p) from the logit is exact for p near 1
        log_negative = logsigmoid(-scores) if self.clip == 0 else torch.log1p(-shifted)
        # a power below 1 has no gradient at 0
        positive = -((-scores).sigmoid().clamp_min(1e-12) ** self.gamma_pos) * logsigmoid(scores)
        negative = -(shifted.clamp_min(1e-12) ** self.gamma_neg) * log_negative
        return torch.where(label == 1, positive, negative)
