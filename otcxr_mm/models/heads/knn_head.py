"""Weighted k-nearest-neighbour classification as a head."""

import torch
from mmpretrain.models import MultiLabelClsHead
from torch import Tensor
from torch.nn.functional import normalize

from ...registry import MODELS


@MODELS.register_module()
class KNNHead(MultiLabelClsHead):
    """Multi-label scores from the k nearest training images, for features of a frozen backbone.

    Nearness is the cosine similarity of features centred at the training mean. A score is the share of positives among
    the neighbours with a known label, weighted by softmax(cosine / temperature) (as Wu et al., CVPR 2018, and DINO do
    for a single label). If no neighbour's label is known, it is the share among all training images.

    :class:`otcxr_mm.LinearEvalLoop` sets the training features, which the checkpoint includes. The arguments of a
    linear head fit, so a linear evaluation becomes one of nearest neighbours by the type of its head alone.

    Args:
        num_classes: Number of labels, C.
        in_channels: Length of the features, D.
        k: Number of neighbours.
        temperature: Temperature of the weights.
        thr: Score at which a label is predicted.
        loss: As a linear head has; nothing is trained here.
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
        self.temperature = temperature
        self.register_buffer("neighbours", torch.tensor(k))
        self.register_buffer("bank", torch.zeros(0, in_channels))
        self.register_buffer("centre", torch.zeros(in_channels))
        # 0 where unknown: a NaN in a checkpoint would look like diverged weights
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
        """Sets the training images.

        Args:
            features: Features, (n, D).
            labels: Labels, (n, C): 1, 0, or NaN for unknown.
        """
        device = self.bank.device
        self.centre = features.float().mean(0).to(device)
        self.bank = normalize(features.float().to(device) - self.centre, dim=1)
        self.known = torch.isfinite(labels).to(device)
        self.labels = labels.float().to(device).nan_to_num(0)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Takes the number of training images from the checkpoint."""
        for name in ("bank", "labels", "known"):
            if f"{prefix}{name}" in state_dict:
                buffer = getattr(self, name)
                setattr(self, name, buffer.new_zeros(state_dict[f"{prefix}{name}"].shape))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Computes scores.

        Args:
            feats: Features of the backbone's stages; the last one, (n, D), is used.

        Returns:
            Scores in [0, 1], (n, C).

        Raises:
            ValueError: If the head has no training features.
        """
        if not len(self.bank):
            raise ValueError(
                "the KNNHead has no training images: run otcxr train with this config, then test the knn.pth it writes"
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
        """Refuses training by gradients."""
        raise ValueError("the KNNHead has nothing to train: set train_cfg = dict(type='otcxr_mm.LinearEvalLoop')")

    def _get_predictions(self, cls_score: Tensor, data_samples: list | None) -> list:
        # MMPretrain applies a sigmoid, but the scores are shares already
        return super()._get_predictions(torch.logit(cls_score.double()), data_samples)
