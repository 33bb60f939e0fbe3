"""Binary cross-entropy for labels that may be unknown."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ...ops.precision import to_float32
from ...registry import MODELS


@MODELS.register_module()
class MaskedBCELoss(BaseModule):
    """Mean binary cross-entropy over the labels that are known, for MMPretrain's multi-label heads.

    Args:
        pos_weight: Weight of the positives of each class, (C,); None: 1; 'train': negatives / positives of the training
            images, which :class:`otcxr_mm.PositiveWeightHook` counts before training.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: For another word than 'train'.
    """

    def __init__(self, pos_weight: Sequence[float] | str | None = None, loss_weight: float = 1.0) -> None:
        super().__init__()
        if isinstance(pos_weight, str) and pos_weight != "train":
            raise ValueError(f"MaskedBCELoss: pos_weight is a list, None or 'train', got {pos_weight!r}")
        self.loss_weight = loss_weight
        self.waits_for_counts = pos_weight == "train"
        pos_weight = None if self.waits_for_counts else pos_weight
        weight = None if pos_weight is None else torch.tensor(pos_weight, dtype=torch.float32)
        self.register_buffer("pos_weight", weight, persistent=False)

    def set_pos_weight(self, weight: Sequence[float]) -> None:
        """Sets the weights that 'train' stands for.

        Args:
            weight: Of the positives of each class, (C,).
        """
        self.pos_weight = torch.tensor(weight, dtype=torch.float32)
        self.waits_for_counts = False

    def forward(self, cls_score: Tensor, label: Tensor, **kwargs: object) -> Tensor:
        """Loss of logits.

        Args:
            cls_score: (n, C).
            label: (n, C), 1, 0, or NaN for unknown.
            **kwargs: What MMPretrain's heads pass besides (`avg_factor`); the mean is always over the known labels.

        Returns:
            The weighted mean; 0, with a gradient of 0, if no label is known.

        Raises:
            ValueError: For shapes that differ, another number of weights, or weights that nobody has counted.
        """
        if self.waits_for_counts:
            raise ValueError(
                "MaskedBCELoss: pos_weight='train' needs otcxr_mm.PositiveWeightHook, which counts the training "
                "labels: add default_hooks = dict(positive_weight=dict(type='otcxr_mm.PositiveWeightHook'))"
            )
        if cls_score.shape != label.shape:
            raise ValueError(
                f"scores {tuple(cls_score.shape)}, labels {tuple(label.shape)}: does num_classes of the head fit?"
            )
        if self.pos_weight is not None and len(self.pos_weight) != label.shape[1]:
            raise ValueError(f"pos_weight has {len(self.pos_weight)} entries, there are {label.shape[1]} classes")
        known, scores = torch.isfinite(label), to_float32(cls_score)
        weight = None if self.pos_weight is None else self.pos_weight.to(scores)
        losses = binary_cross_entropy_with_logits(
            scores, torch.where(known, label, 0).to(scores), pos_weight=weight, reduction="none"
        )
        return self.loss_weight * (losses * known).sum() / known.sum().clamp_min(1)
