import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from otcxr_mm.evaluation.statistics.calibration import calibration, uncalibrated


def draw(n=400):
    rng = np.random.default_rng(0)
    scores = rng.random(n) ** 2
    return (rng.random(n) < scores**1.5).astype(float), scores


@pytest.mark.parametrize("precision", ["float64", "float16"])  # many scores of a half lie on an edge
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_error_is_that_image_by_image(bins, precision):
    labels, scores = draw()
    scores = scores.astype(precision).astype(float)
    held = {}
    for y, s in zip(labels, scores, strict=True):
        held.setdefault(min(int(s * bins), bins - 1), []).append(s - y)
    expected = sum(abs(sum(gaps)) for gaps in held.values()) / len(labels)
    assert calibration(labels, scores, bins)["ece"] == pytest.approx(expected, abs=1e-12)


def test_brier_is_that_of_scikit_learn():
    labels, scores = draw()
    assert calibration(labels, scores)["brier"] == pytest.approx(brier_score_loss(labels, scores), abs=1e-12)


def test_edges_and_extremes_are_in_a_bin():
    found = calibration(np.array([0, 1, 1, 0]), np.array([0, 1, 0.5, 0.25]), bins=5)
    assert found["reliability"]["count"] == [1, 1, 1, 0, 1]
    assert found["reliability"]["frequency"] == [0, 0, 1, None, 1]
    assert found["ece"] == pytest.approx((0 + 0.25 + 0.5 + 0) / 4)


def test_scores_outside_0_and_1_are_not_probabilities():
    assert uncalibrated(np.array([-1.0, 2.0])) == "scores from -1 to 2 are not probabilities"
    assert uncalibrated(np.array([0.0, 1.0])) is uncalibrated(np.zeros(0)) is None
