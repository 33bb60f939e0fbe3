from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from otcxr_mm import CovarianceLoss, MaskedAsymmetricLoss, MaskedBCELoss, VarianceLoss, VICRegHead


def test_unknown_labels_count_for_nothing():
    scores, labels = torch.randn(6, 3, requires_grad=True), torch.randint(0, 2, (6, 3)).float()
    labels[2, 1] = labels[4] = float("nan")
    known = torch.isfinite(labels)
    value = MaskedBCELoss()(scores, labels, avg_factor=6)
    assert value.item() == pytest.approx(binary_cross_entropy_with_logits(scores[known], labels[known]).item())
    value.backward()
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[~known] == 0).all()
    assert (scores.grad[known] != 0).all()


def test_without_any_known_label_the_loss_is_zero_and_has_a_gradient():
    scores = torch.randn(2, 3, requires_grad=True)
    value = MaskedBCELoss()(scores, torch.full((2, 3), float("nan")))
    value.backward()
    assert value == 0
    assert (scores.grad == 0).all()


def test_positive_weights_are_torchs():
    scores, labels, weight = torch.randn(6, 3), torch.randint(0, 2, (6, 3)).float(), [1.0, 5.0, 0.5]
    expected = binary_cross_entropy_with_logits(scores, labels, pos_weight=torch.tensor(weight))
    assert MaskedBCELoss(weight, loss_weight=2.0)(scores, labels).item() == pytest.approx(2 * expected.item())
    with pytest.raises(ValueError, match="pos_weight has 2 entries, there are 3 classes"):
        MaskedBCELoss([1.0, 2.0])(scores, labels)
    with pytest.raises(ValueError, match="does num_classes of the head fit"):
        MaskedBCELoss()(scores, labels[:, :2])


def test_vicreg_is_the_published_objective():
    x, y = torch.randn(16, 8, dtype=torch.float64), torch.randn(16, 8, dtype=torch.float64)

    def side(z):
        z = z - z.mean(0)
        std = torch.sqrt(z.var(0) + 1e-4)
        cov = z.T @ z / 15
        return 25 * torch.relu(1 - std).mean() / 2 + (cov.square().sum() - cov.diagonal().square().sum()) / 8

    expected = 25 * ((x - y) ** 2).mean() + side(x) + side(y)
    assert VICRegHead().loss(x, y).item() == pytest.approx(expected.item(), rel=1e-12)
    other = VICRegHead(inv_weight=1.0, loss_var=dict(loss_weight=0.0), loss_cov=dict(loss_weight=0.0))
    assert other.loss(x, y).item() == pytest.approx(((x - y) ** 2).mean().item())
    assert isinstance(other.loss_var, VarianceLoss)
    assert isinstance(other.loss_cov, CovarianceLoss)
    assert np.isfinite(expected.item())


@pytest.mark.parametrize("settings", [dict(), dict(gamma_pos=1.0, gamma_neg=2.0, clip=0.0)])
def test_the_asymmetric_loss_is_mmpretrains_over_the_known_labels(settings):
    from mmpretrain.models.losses.asymmetric_loss import asymmetric_loss

    scores = torch.randn(20, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 2, (20, 4)).double()
    theirs = partial(asymmetric_loss, **{"gamma_pos": 0.0, "gamma_neg": 4.0, "clip": 0.05, **settings})
    assert MaskedAsymmetricLoss(**settings)(scores, labels).item() == pytest.approx(theirs(scores, labels).item())
    labels[3] = labels[7, 1] = float("nan")
    known = torch.isfinite(labels)
    value = MaskedAsymmetricLoss(**settings)(scores, labels)
    assert value.item() == pytest.approx(theirs(scores[known], labels[known]).item())
    value.backward()
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[~known] == 0).all()


def test_the_asymmetric_loss_at_extremes():
    scores = torch.tensor([[200.0, -200.0]], requires_grad=True)
    for labels in ([[0.0, 1.0]], [[1.0, 0.0]], [[float("nan")] * 2]):
        value = MaskedAsymmetricLoss(clip=0.0)(scores, torch.tensor(labels))
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(scores.grad).all()
    with pytest.raises(ValueError, match="does num_classes of the head fit"):
        MaskedAsymmetricLoss()(torch.zeros(1, 2), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="clip in"):
        MaskedAsymmetricLoss(clip=1.0)
