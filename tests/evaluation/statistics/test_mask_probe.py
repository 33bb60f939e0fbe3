import numpy as np
import pytest

from otcxr_mm.evaluation.statistics.mask_probe import dice, mask_probe


def test_dice():
    a, b = np.zeros((3, 4, 4), bool), np.zeros((3, 4, 4), bool)
    a[0, :2] = b[0, 1:3] = True  # 8 and 8 pixels, 4 of them shared
    a[1] = True  # nothing to find
    np.testing.assert_allclose(dice(a, b), [0.5, 0.0, 1.0])


def test_a_mask_that_is_linear_in_the_tokens_is_found():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((6, 4))

    def images(n):
        tokens = rng.standard_normal((n, 12, 6))
        cells = (tokens @ weights > 0).reshape(n, 3, 4, 2, 2)
        return tokens, cells.swapaxes(2, 3).reshape(n, 6, 8)

    (x, a), (y, b), (z, c) = images(200), images(20), images(30)
    probe = mask_probe((x, y, z), (a, b, c), (3, 4))
    assert probe.predicted.shape == (30, 6, 8)
    assert probe.dice.mean() > 0.9
    assert probe.blind.mean() < 0.7
    with pytest.raises(ValueError, match="do not fit a grid"):
        mask_probe((x, y, z), (a, b, c), (4, 4))
