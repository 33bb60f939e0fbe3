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


def draw(decimals, n=100, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(int)
    return labels, np.round(labels + rng.normal(0, 1, n), decimals)


@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_sensitivity_is_the_best_of_all_thresholds_that_are_specific_enough(decimals):
    labels, scores = draw(decimals)
    wanted = (0.0, 0.5, 0.9, 0.95, 1.0)
    found = sensitivity_at(labels, scores, wanted)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    for target, value in zip(wanted, found, strict=True):
        assert value == pytest.approx(max(t for t, f in zip(tpr, fpr, strict=True) if 1 - f >= target), abs=1e-12)


def test_a_specificity_that_is_met_exactly_counts():
    labels = np.array([0] * 10 + [1] * 4)
    scores = np.array([*range(10), 8.5, 9.5, 10, 0.5])
    # one false positive of 10 is allowed: all above 8
    assert sensitivity_at(labels, scores, (0.9, 0.95)) == [0.75, 0.5]
    assert sensitivity_at(labels, np.zeros(14), (0.9,)) == [0]
    assert np.isnan(sensitivity_at(np.zeros(3), np.arange(3.0), (0.9, 0.95))).all()
    assert np.isnan(sensitivity_at(np.zeros(0), np.zeros(0), (0.9,))).all()


@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_no_threshold_has_a_better_f1(decimals):
    labels, scores = draw(decimals)
    threshold = best_f1(labels, scores)
    best = max(f1_score(labels, scores >= t) for t in np.unique(scores))
    assert at_threshold(labels, scores, threshold)["f1"] == pytest.approx(best, abs=1e-12)
    assert np.isnan(best_f1(np.ones(3), np.arange(3.0))) and np.isnan(best_f1(np.zeros(0), np.zeros(0)))


def test_at_a_threshold_it_is_scikit_learn():
    labels, scores = draw(1)
    found, called = at_threshold(labels, scores, 0.7), scores >= 0.7
    assert found["f1"] == pytest.approx(f1_score(labels, called))
    assert found["sensitivity"] == pytest.approx(recall_score(labels, called))
    assert found["specificity"] == pytest.approx(recall_score(labels, called, pos_label=0))
    assert found["ppv"] == pytest.approx(precision_score(labels, called))
    assert found["npv"] == pytest.approx(precision_score(labels, called, pos_label=0))


def test_what_has_no_denominator_is_nan():
    found = at_threshold(np.array([0, 1]), np.array([0.1, 0.2]), 0.5)
    assert found["f1"] == 0 and found["sensitivity"] == 0 and found["specificity"] == 1 and found["npv"] == 0.5
    assert np.isnan(found["ppv"])
    assert np.isnan(at_threshold(np.array([0]), np.array([0.1]), 0.5)["f1"])


def test_f1_of_each_draw_is_scikit_learn_with_its_weights():
    labels, scores = draw(1)
    patient = np.arange(100) // 4
    counts = patient_weights(patient, 40)
    found = bootstrap_f1(labels, scores, 0.7, patient, counts)
    for value, weights in zip(found, counts[:, patient], strict=True):
        assert value == pytest.approx(f1_score(labels, scores >= 0.7, sample_weight=weights), abs=1e-12)
    only = np.zeros((1, 100))
    only[0, labels.argmin()] = 1
    assert np.isnan(bootstrap_f1(labels, scores, 0.7, np.arange(100), only)).all()


@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_sensitivity_of_each_draw_is_that_of_its_images(decimals, monkeypatch):
    monkeypatch.setattr("otcxr_mm.evaluation.statistics.auc._BLOCK", 700)  # several blocks
    labels, scores = draw(decimals)
    patient, wanted = np.arange(100) // 4, (0.0, 0.5, 0.9, 0.95, 1.0)
    counts = patient_weights(patient, 60)
    found = bootstrap_sensitivity(labels, scores, wanted, patient, counts)
    for values, weights in zip(found, counts[:, patient], strict=True):
        drawn = np.repeat(np.arange(100), weights)
        assert values == pytest.approx(sensitivity_at(labels[drawn], scores[drawn], wanted), abs=1e-12)
    assert np.isnan(bootstrap_sensitivity(np.zeros(100), scores, wanted, patient, counts)).all()
    alone = np.eye(100)[[labels.argmin()]]  # one negative
    assert np.isnan(bootstrap_sensitivity(labels, scores, wanted, np.arange(100), alone)).all()
