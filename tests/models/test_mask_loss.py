import numpy as np
import pytest
import torch

import otcxr_mm


def reference(logits, masks, smooth):
    """Pixel by pixel, in double precision."""
    bce, dice = [], []
    for z, y in zip(logits.reshape(-1, logits[0, 0].size), masks.reshape(-1, masks[0, 0].size), strict=True):
        p = 1 / (1 + np.exp(-z))
        bce.append(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
        dice.append(1 - (2 * (p * y).sum() + smooth) / (p.sum() + y.sum() + smooth))
    return np.mean(bce), np.mean(dice)


def test_it_is_the_sum_over_pixels():
    logits, masks = np.random.normal(0, 2, (3, 2, 5, 7)), (np.random.random((3, 2, 5, 7)) < 0.3).astype(float)
    masks[0, 1] = 0
    loss = otcxr_mm.MaskLoss(bce_weight=0.5, dice_weight=2, smooth=3)
    found = loss(torch.from_numpy(logits), torch.from_numpy(masks).to(torch.uint8))
    bce, dice = reference(logits, masks, 3)
    assert found["loss_bce"].item() == pytest.approx(0.5 * bce)
    assert found["loss_dice"].item() == pytest.approx(2 * dice)


def test_gradients():
    masks = torch.rand(2, 2, 3, 3) < 0.4
    masks[1] = False
    loss = otcxr_mm.MaskLoss()
    logits = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: sum(loss(z, masks).values()), logits)


def test_empty_masks_have_a_loss_that_goes_to_zero():
    masks = torch.zeros(1, 1, 8, 8)
    sure, unsure = (sum(otcxr_mm.MaskLoss()(torch.full((1, 1, 8, 8), z), masks).values()) for z in (-30.0, 0.0))
    assert 0 <= sure < 1e-6 < unsure


def test_half_precision_is_widened():
    masks = torch.ones(1, 1, 512, 512)  # their sum does not fit float16
    losses = otcxr_mm.MaskLoss()(torch.full((1, 1, 512, 512), 10.0, dtype=torch.float16), masks)
    assert all(value.isfinite() and value.dtype == torch.float32 for value in losses.values())


def test_what_it_refuses():
    with pytest.raises(ValueError, match="does num_classes of the head fit"):
        otcxr_mm.MaskLoss()(torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4))
    with pytest.raises(ValueError, match="smooth > 0"):
        otcxr_mm.MaskLoss(smooth=0)
