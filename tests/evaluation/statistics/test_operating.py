import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_curve

from otcxr_mm.evaluation.statistics.bootstrap import patient_weights
from otcxr_mm.evaluation.statistics.operating import (
    at_threshold,
    best_f1,
    bootstrap_f1,
    bootstrap_sensitivity,
    sensitivity_at,
)

WANTED = (0.0, 0.5, 0.9, 0.95, 1.0)


def draw(decimals, n=100):
    rng = np.random.default_rng(0)
    labels = (rng.random(n) < 0.3).astype(int)
    return labels, np.round(labels + rng.normal(0, 1, n), decimals)


@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_sensitivity_is_the_best_of_all_thresholds_that_are_specific_enough(decimals):
    labels, scores = draw(decimals)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    expected = [tpr[1 - fpr >= target].max() for target in WANTED]
    assert sensitivity_at(labels, scores, WANTED) == pytest.approx(expected, abs=1e-12)


def test_a_specificity_that_is_met_exactly_counts():
    labels = np.array([0] * 10 + [1] * 4)
    scores = np.array([*range(10), 8.5, 9.5, 10, 0.5])
    # one false positive of 10 is allowed: all above 8
    assert sensitivity_at(labels, scores, (0.9, 0.95)) == [0.75, 0.5]
    assert sensitivity_at(labels, np.zeros(14), (0.9,)) == [0]


@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_no_threshold_has_a_better_f1(decimals):
    labels, scores = draw(decimals)
    best = max(f1_score(labels, scores >= t) for t in np.unique(scores))
    assert at_threshold(labels, scores, best_f1(labels, scores))["f1"] == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("labels", [np.zeros(3), np.ones(3), np.zeros(0)])
def test_without_positives_or_negatives_there_is_no_operating_point(labels):
    scores = np.arange(len(labels), dtype=float)
    assert np.isnan(best_f1(labels, scores))
    assert np.isnan(sensitivity_at(labels, scores, WANTED)).all()


def test_at_a_threshold_it_is_scikit_learn():
    labels, scores = draw(1)
    found, called = at_threshold(labels, scores, 0.7), scores >= 0.7
    assert found == pytest.approx(
        {
            "f1": f1_score(labels, called),
            "sensitivity": recall_score(labels, called),
            "specificity": recall_score(labels, called, pos_label=0),
            "ppv": precision_score(labels, called),
            "npv": precision_score(labels, called, pos_label=0),
        }
    )


def test_a_share_of_nothing_is_nan():
    found = at_threshold(np.array([0]), np.array([0.1]), 0.5)
    assert found["specificity"] == found["npv"] == 1
    assert np.isnan([found["f1"], found["sensitivity"], found["ppv"]]).all()


def test_f1_of_each_draw_is_scikit_learn_with_its_weights():
    labels, scores = draw(1)
    patient = np.arange(100) // 4
    counts = patient_weights(patient, 40)
    expected = [f1_score(labels, scores >= 0.7, sample_weight=weights) for weights in counts[:, patient]]
    assert bootstrap_f1(labels, scores, 0.7, patient, counts) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_sensitivity_of_each_draw_is_that_of_its_images(decimals, monkeypatch):
    monkeypatch.setattr("otcxr_mm.evaluation.statistics.auc._BLOCK", 700)  # several blocks
    labels, scores = draw(decimals)
    patient = np.arange(100) // 4
    counts = patient_weights(patient, 60)
    found = bootstrap_sensitivity(labels, scores, WANTED, patient, counts)
    for values, weights in zip(found, counts[:, patient], strict=True):
        drawn = np.repeat(np.arange(100), weights)
        assert values == pytest.approx(sensitivity_at(labels[drawn], scores[drawn], WANTED), abs=1e-12)


def test_a_draw_without_positives_is_undefined():
    labels, scores = draw(1)
    alone = np.eye(100)[[labels.argmin()]]  # one negative
    assert np.isnan(bootstrap_sensitivity(labels, scores, WANTED, np.arange(100), alone)).all()
    assert np.isnan(bootstrap_f1(labels, scores, 0.7, np.arange(100), alone)).all()
