import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss

from otcxr_mm.evaluation.statistics.calibration import brier, calibration_error, reliability


def draw(n=400, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.random(n) ** 2
    return (rng.random(n) < scores**1.5).astype(float), scores


def reference(labels, scores, bins):
    """Image by image."""
    held = {}
    for y, s in zip(labels, scores, strict=True):
        held.setdefault(min(int(s * bins), bins - 1), []).append((s, y))
    return sum(abs(sum(s - y for s, y in pairs)) for pairs in held.values()) / len(labels)


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_error_is_that_image_by_image(bins):
    labels, scores = draw()
    assert calibration_error(labels, scores, bins) == pytest.approx(reference(labels, scores, bins), abs=1e-12)
    half = scores.astype(np.float16).astype(float)
    assert calibration_error(labels, half, bins) == pytest.approx(reference(labels, half, bins), abs=1e-12)


def test_error_is_torchmetrics():
    classification = pytest.importorskip("torchmetrics.classification")
    labels, scores = draw()
    metric = classification.BinaryCalibrationError(n_bins=15, norm="l1")
    expected = metric(torch.from_numpy(scores), torch.from_numpy(labels).long()).item()
    assert calibration_error(labels, scores) == pytest.approx(expected, abs=1e-6)  # it adds up in float32


def test_edges_and_extremes_are_in_a_bin():
    found = reliability(np.array([0, 1, 1, 0]), np.array([0, 1, 0.5, 0.25]), bins=4)
    assert found.count.tolist() == [1, 1, 1, 1]
    assert found.frequency.tolist() == [0, 0, 1, 1]
    assert found.error == pytest.approx((0 + 0.25 + 0.5 + 0) / 4)
    assert calibration_error(np.array([1.0]), np.array([1.0])) == 0
    assert np.isnan(reliability(np.array([1]), np.array([1.0])).confidence[0])


def test_bins_of_equal_mass():
    labels, scores = draw(450)
    found = reliability(labels, scores, bins=15, equal_mass=True)
    assert found.count.sum() == 450 and abs(found.count - 30).max() <= 1
    ordered = np.argsort(scores)
    first = ordered[: found.count[0]]
    assert found.confidence[0] == pytest.approx(scores[first].mean())
    assert found.frequency[0] == pytest.approx(labels[first].mean())
    # equal scores stay together
    found = reliability(np.array([0, 1, 1, 1]), np.array([0.3, 0.3, 0.3, 0.9]), bins=3, equal_mass=True)
    assert found.count.sum() == 4 and calibration_error(np.array([0, 1]), np.full(2, 0.3), equal_mass=True) == (
        pytest.approx(0.2)
    )


def test_brier_is_scikit_learn():
    labels, scores = draw()
    assert brier(labels, scores) == pytest.approx(brier_score_loss(labels, scores), abs=1e-12)


def test_what_is_no_probability_is_refused():
    for measure in (brier, calibration_error):
        with pytest.raises(ValueError, match="scores from -1 to 2 are no probabilities"):
            measure(np.array([0, 1]), np.array([-1.0, 2.0]))
        with pytest.raises(ValueError, match="at least one image"):
            measure(np.zeros(0), np.zeros(0))
