import numpy as np

from otcxr_mm.evaluation.statistics.mask_probe import mask_probe


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
