import numpy as np
import pytest

from otcxr_mm.evaluation.statistics.auc import bootstrap_per_class, per_class
from otcxr_mm.evaluation.statistics.bootstrap import interval, patient_weights
from otcxr_mm.evaluation.statistics.subgroups import groups, subgroups

NAMES = ["Mass", "Nodule", "Hernia"]


def draw(n=200):
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 3)) < 0.4).astype(float)
    return labels, labels + rng.normal(0, 1, labels.shape), np.arange(n) // 2


def test_groups_are_bands_of_age_or_names():
    found = groups("age", np.array([0, 17.9, 18, 39, 40, 59, 60, 79, 80, 101, np.nan]))
    bands = {"0-17": [0, 1], "18-39": [2, 3], "40-59": [4, 5], "60-79": [6, 7], "80+": [8, 9]}
    assert {name: np.flatnonzero(mask).tolist() for name, mask in found.items()} == bands
    assert list(groups("sex", np.array(["M", "", "F", "M"]))) == ["F", "M"]
    assert groups("age", np.full(3, np.nan)) == {}


def test_groups_are_compared_over_the_classes_that_all_of_them_have():
    labels, scores, patient = draw()
    sex = np.array(["M"] * 90 + ["F"] * 90 + [""] * 20)
    labels[:90, 2] = 0  # no man has a hernia
    view = np.array(["PA"] * 197 + ["LL"] * 3)
    labels[197:] = 0
    counts = patient_weights(patient, 100)
    people = {"sex": sex, "view": view, "age": np.full(200, np.nan)}
    found = subgroups(labels, scores, patient, people, NAMES, counts)
    assert found["sex"]["classes"] == ["Mass", "Nodule"] and found["sex"]["unknown"] == 20
    women = found["sex"]["groups"]["F"]
    auroc, _ = per_class(labels[90:180], scores[90:180])
    assert women["auroc"] == pytest.approx(auroc[:2].mean(), abs=1e-12)
    assert women["per_class"]["Hernia"] == pytest.approx(auroc[2], abs=1e-12)
    assert found["sex"]["groups"]["M"]["per_class"]["Hernia"] is None
    assert (women["images"], women["patients"]) == (90, 45)
    drawn, _ = bootstrap_per_class(labels[90:180, :2], scores[90:180, :2], patient[90:180], counts)
    assert women["auroc_interval"] == pytest.approx(interval(drawn.mean(1)), abs=1e-12)
    # three images without any positive are not shown as a group
    assert list(found["view"]["groups"]) == ["PA"] and found["view"]["left_out"] == {"LL": 3}
    assert found["age"] is None


def test_groups_without_a_class_in_common_have_no_mean():
    labels, scores, patient = draw()
    labels[:100, :2] = 0
    labels[100:, 2] = 0
    sex = np.array(["M"] * 100 + ["F"] * 100)
    found = subgroups(labels, scores, patient, {"sex": sex}, NAMES, patient_weights(patient, 10))["sex"]
    assert found["classes"] == [] and found["groups"]["M"]["auroc"] is None
    assert found["groups"]["M"]["per_class"]["Hernia"] > 0.5
