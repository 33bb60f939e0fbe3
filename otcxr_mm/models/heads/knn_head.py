"""Weighted k nearest neighbours as a head."""

import torch
from mmpretrain.models import MultiLabelClsHead
from torch import Tensor
from torch.nn.functional import normalize

from ...registry import MODELS


@MODELS.register_module()
class KNNHead(MultiLabelClsHead):
    """Scores of several labels from the k nearest training images, for features of a frozen backbone.

    Neighbours are those of the largest cosine of features from which the training mean is taken. A score is the share
    of positives among those whose label is known, weighted by softmax(cosine / temperature) (as Wu et al., CVPR 2018,
    and DINO do, for one label); where it is known of none, the share among all training images.

    :class:`otcxr_mm.LinearEvalLoop` puts the features in, and they are saved with the checkpoint. The arguments of a
    linear head fit, so a linear evaluation becomes one of nearest neighbours by the type of its head alone.

    Args:
        num_classes: Labels, C.
        in_channels: Length of the features, D.
        k: Neighbours.
        temperature: Of the weights.
        thr: Score from which on a label is predicted.
        loss: As a linear head has; nothing is trained here.

    Raises:
        ValueError: If `k` or `temperature` is not above 0; at use, for an empty head.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        k: int = 20,
        temperature: float = 0.07,
        thr: float = 0.5,
        loss: dict | None = None,
    ) -> None:
        super().__init__(loss=loss or dict(type="otcxr_mm.MaskedBCELoss"), thr=thr)
        if k < 1 or temperature <= 0:
            raise ValueError(f"KNNHead: k >= 1 and temperature > 0, got {k} and {temperature}")
        self.temperature = temperature
        self.register_buffer("neighbours", torch.tensor(k))
        self.register_buffer("bank", torch.zeros(0, in_channels))
        self.register_buffer("centre", torch.zeros(in_channels))
        # 0 where unknown: a NaN would pass for weights that have diverged
        self.register_buffer("labels", torch.zeros(0, num_classes))
        self.register_buffer("known", torch.zeros(0, num_classes, dtype=torch.bool))

    @property
    def k(self) -> int:
        """Number of neighbours."""
        return int(self.neighbours)

    @k.setter
    def k(self, value: int) -> None:
        self.neighbours.fill_(value)

    def set_bank(self, features: Tensor, labels: Tensor) -> None:
        """Takes training images in.

        Args:
            features: (n, D).
            labels: (n, C): 1, 0, or NaN for unknown.

        Raises:
            ValueError: If they do not fit `in_channels` and `num_classes`.
        """
        if features.shape[1] != self.bank.shape[1] or labels.shape[1] != self.labels.shape[1]:
            raise ValueError(
                f"features {tuple(features.shape)} and labels {tuple(labels.shape)} do not fit in_channels="
                f"{self.bank.shape[1]} and num_classes={self.labels.shape[1]} of the KNNHead"
            )
        device = self.bank.device
        self.centre = features.float().mean(0).to(device)
        self.bank = normalize(features.float().to(device) - self.centre, dim=1)
        self.known = torch.isfinite(labels).to(device)
        self.labels = labels.float().to(device).nan_to_num(0)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """The number of training images is that of the checkpoint."""
        for name in ("bank", "labels", "known"):
            if f"{prefix}{name}" in state_dict:
                buffer = getattr(self, name)
                setattr(self, name, buffer.new_zeros(state_dict[f"{prefix}{name}"].shape))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Scores in [0, 1].

        Args:
            feats: The last one is taken, (n, D).

        Returns:
            (n, C).

        Raises:
            ValueError: Before training images have been put in.
        """
        if not len(self.bank):
            raise ValueError(
                "the KNNHead has no training images: run otcxr train with this config, and test the knn.pth that it "
                "writes"
            )
        x = normalize(self.pre_logits(feats).float() - self.centre, dim=1)
        # in blocks, so that the matrix of cosines stays small
        return torch.cat([self._scores(block) for block in x.split(1024)])

    def _scores(self, x: Tensor) -> Tensor:
        cosine, index = (x @ self.bank.T).topk(min(self.k, len(self.bank)))
        weight = torch.softmax(cosine / self.temperature, 1)[..., None] * self.known[index]  # (n, k, C)
        total = weight.sum(1)
        prevalence = self.labels.sum(0) / self.known.sum(0).clamp_min(1)
        near = (weight * self.labels[index]).sum(1) / total.clamp_min(1e-12)
        return torch.where(total > 1e-12, near, prevalence)

    def loss(self, *args: object, **kwargs: object) -> dict:
        """Nothing is trained by gradients here.

        Raises:
            ValueError: Always; names the loop to take.
        """
        raise ValueError("the KNNHead has nothing to train: set train_cfg = dict(type='otcxr_mm.LinearEvalLoop')")

    def _get_predictions(self, cls_score: Tensor, data_samples: list | None) -> list:
        # scores are shares already; MMPretrain's would put them through a sigmoid
        return super()._get_predictions(torch.logit(cls_score.double()), data_samples)
