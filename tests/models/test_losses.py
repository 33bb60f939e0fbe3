from functools import partial

import pytest
import torch
from mmpretrain.models.losses.asymmetric_loss import asymmetric_loss
from torch.nn.functional import binary_cross_entropy_with_logits

from otcxr_mm import MaskedAsymmetricLoss, MaskedBCELoss, MaskLoss, VICRegHead

UNKNOWN = float("nan")
THEIRS = partial(asymmetric_loss, gamma_pos=1.0, gamma_neg=2.0, clip=0.0)
ORACLES = {
    "bce": (MaskedBCELoss, binary_cross_entropy_with_logits),
    "asymmetric": (MaskedAsymmetricLoss, partial(asymmetric_loss, gamma_pos=0.0, gamma_neg=4.0, clip=0.05)),
    "asymmetric, no clip": (partial(MaskedAsymmetricLoss, gamma_pos=1.0, gamma_neg=2.0, clip=0.0), THEIRS),
}


@pytest.mark.parametrize("name", ORACLES)
def test_the_loss_is_the_librarys_over_the_known_labels(name):
    ours, theirs = ORACLES[name]
    scores, labels = torch.randn(20, 4, dtype=torch.float64, requires_grad=True), torch.randint(0, 2, (20, 4)).double()
    labels[3] = labels[7, 1] = UNKNOWN
    known = torch.isfinite(labels)
    value = ours(loss_weight=2.0)(scores, labels, avg_factor=6)
    assert value.item() == pytest.approx(2 * theirs(scores[known], labels[known]).item())
    value.backward()
    assert (scores.grad[~known] == 0).all()
    assert (scores.grad[known] != 0).float().mean() > 0.8  # a clip silences easy negatives


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("labels", [[0.0, 1.0], [1.0, 0.0], [UNKNOWN, UNKNOWN]])
def test_extreme_scores_have_finite_gradients(name, labels):
    scores = torch.tensor([[200.0, -200.0]], requires_grad=True)
    value = ORACLES[name][0]()(scores, torch.tensor([labels]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(scores.grad).all()
    if labels[0] != labels[0]:
        assert value == 0
        assert (scores.grad == 0).all()


def test_positive_weights_are_torchs():
    scores, labels, weight = torch.randn(6, 3), torch.randint(0, 2, (6, 3)).float(), [1.0, 5.0, 0.5]
    expected = binary_cross_entropy_with_logits(scores, labels, pos_weight=torch.tensor(weight))
    assert MaskedBCELoss(weight)(scores, labels).item() == pytest.approx(expected.item())
    counted = MaskedBCELoss("train")
    with pytest.raises(ValueError, match="needs otcxr_mm.PositiveWeightHook"):
        counted(scores, labels)
    counted.set_pos_weight(weight)
    assert counted(scores, labels).item() == pytest.approx(expected.item())


def test_vicreg_is_the_published_objective():
    x, y = torch.randn(16, 8, dtype=torch.float64), torch.randn(16, 8, dtype=torch.float64)

    def side(z):
        z = z - z.mean(0)
        std = torch.sqrt(z.var(0) + 1e-4)
        cov = z.T @ z / 15
        return 25 * torch.relu(1 - std).mean() / 2 + (cov.square().sum() - cov.diagonal().square().sum()) / 8

    expected = 25 * ((x - y) ** 2).mean() + side(x) + side(y)
    assert VICRegHead().loss(x, y).item() == pytest.approx(expected.item(), rel=1e-12)
    other = VICRegHead(inv_weight=1.0, var_weight=0.0, cov_weight=0.0)
    assert other.loss(x, y).item() == pytest.approx(((x - y) ** 2).mean().item())


def test_the_loss_of_masks_is_the_sum_over_pixels():
    logits, masks = torch.randn(3, 2, 5, 7, dtype=torch.float64), torch.rand(3, 2, 5, 7) < 0.3
    masks[0, 1] = False
    found = MaskLoss()(logits, masks)
    bce, dice = [], []
    for z, y in zip(logits.flatten(0, 1), masks.flatten(0, 1).double(), strict=True):
        p = 1 / (1 + torch.exp(-z))
        bce.append(-(y * p.log() + (1 - y) * (1 - p).log()).mean())
        dice.append(1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1))
    torch.testing.assert_close(found["loss_bce"], torch.stack(bce).mean())
    torch.testing.assert_close(found["loss_dice"], torch.stack(dice).mean())


def test_masks_in_half_precision_are_summed_in_float32():
    masks = torch.ones(1, 1, 512, 512)  # their sum does not fit float16
    losses = MaskLoss()(torch.full((1, 1, 512, 512), 10.0, dtype=torch.float16), masks)
    assert all(value.isfinite() and value.dtype == torch.float32 for value in losses.values())


def test_scores_of_other_classes_are_refused():
    with pytest.raises(ValueError, match="does num_classes of the head fit"):
        MaskedBCELoss()(torch.zeros(1, 1), torch.zeros(1, 3))
