import numpy as np
import pytest

from otcxr_mm.evaluation.statistics.bootstrap import interval, mean_over_classes, patient_codes, patient_weights


def test_codes_follow_sorted_ids_and_an_image_without_id_is_a_unit():
    assert patient_codes(["b", "", "a", "b", ""]).tolist() == [1, 2, 0, 1, 3]
    assert patient_codes(["", ""]).tolist() == [0, 1]


def test_each_draw_has_as_many_patients_and_depends_on_their_number_and_the_seed_alone():
    counts = patient_weights(np.array([0, 1, 2, 2, 2, 3]), draws=500)
    assert counts.shape == (500, 4) and (counts.sum(1) == 4).all()
    assert counts.mean(0) == pytest.approx(np.ones(4), abs=0.15)
    assert counts.var() == pytest.approx(0.75, abs=0.1)  # of a binomial of 4 with 1/4
    assert np.array_equal(counts, patient_weights(np.array([3, 2, 1, 0]), draws=500))
    assert not np.array_equal(counts, patient_weights(np.arange(4), draws=500, seed=1))
    # a longer list begins with the shorter one
    assert np.array_equal(counts[:7], patient_weights(np.arange(4), draws=7))


def test_draws_in_blocks_are_those_at_once(monkeypatch):
    at_once = patient_weights(np.arange(30), draws=100)
    monkeypatch.setattr("otcxr_mm.evaluation.statistics.bootstrap._BLOCK", 70)
    assert np.array_equal(at_once, patient_weights(np.arange(30), draws=100))


def test_an_interval_needs_half_of_the_draws():
    values = np.arange(1001) / 1000
    assert interval(values) == pytest.approx((0.025, 0.975))
    assert interval(np.append(values, [np.nan] * 400)) == pytest.approx((0.025, 0.975))
    assert np.isnan(interval(np.append(values, [np.nan] * 1100))).all()
    assert np.isnan(interval(np.zeros(0))).all()


def test_a_draw_that_lacks_a_class_is_left_out_of_the_mean():
    values = np.array([[0.5, np.nan, np.nan], [0.5, 1.0, np.nan], [np.nan, np.nan, np.nan]])
    means = mean_over_classes(values, np.array([True, True, False]))
    assert means[1] == 0.75 and np.isnan(means[[0, 2]]).all()
    assert np.isnan(mean_over_classes(values, np.zeros(3, dtype=bool))).all()
