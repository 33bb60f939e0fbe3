import numpy as np
import pytest

from otcxr_mm.evaluation.metrics.log_table import table
from otcxr_mm.evaluation.statistics.auc import bootstrap_per_class, per_class
from otcxr_mm.evaluation.statistics.bootstrap import interval, patient_weights
from otcxr_mm.evaluation.statistics.classification import report
from otcxr_mm.evaluation.statistics.subgroups import groups, subgroups

NAMES = ["Mass", "Nodule", "Hernia"]


def draw(n=200, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 3)) < 0.4).astype(float)
    return labels, labels + rng.normal(0, 1, labels.shape), np.arange(n) // 2


def test_bands_of_age():
    found = groups("age", np.array([0, 17.9, 18, 39, 40, 59, 60, 79, 80, 101, np.nan]))
    assert {name: np.flatnonzero(mask).tolist() for name, mask in found.items()} == {
        "0-17": [0, 1],
        "18-39": [2, 3],
        "40-59": [4, 5],
        "60-79": [6, 7],
        "80+": [8, 9],
    }
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
    # three images without any positive are no group to show
    assert list(found["view"]["groups"]) == ["PA"] and found["view"]["left_out"] == {"LL": 3}
    assert found["age"] is None


def test_a_group_of_few_patients_has_no_interval():
    """Seven women, perfectly told apart: each draw has an AUROC of 1, which says nothing of other women."""
    labels, scores, _ = draw(107)
    patient = np.arange(107)
    labels[100:] = [[1], [0], [1], [0], [1], [0], [0]]
    scores[100:] = labels[100:]
    people = {"sex": np.array(["M"] * 100 + ["F"] * 7)}
    found = report(labels, scores, patient, NAMES, draws=100, people=people)
    women, men = (found["subgroups"]["sex"]["groups"][name] for name in "FM")
    assert (women["images"], women["patients"], women["auroc"], women["auroc_interval"]) == (7, 7, 1.0, None)
    low, high = men["auroc_interval"]
    assert low < men["auroc"] < high
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(found).splitlines()]
    assert ["F", "7", "7", "1.000 [-]"] in lines
    # ten with and ten without, of whom some are the same patients, are enough
    labels, scores = np.tile([[1.0], [0.0]], (10, 3)), np.random.default_rng(0).random((20, 3))
    people = {"sex": np.full(20, "F")}
    for patient, given in ((np.arange(20) // 2, True), (np.minimum(np.arange(20) // 2, 8), False)):
        rows = subgroups(labels, scores, patient, people, NAMES, patient_weights(patient, 100))["sex"]["groups"]
        assert (rows["F"]["auroc_interval"] is not None) == given


def test_groups_without_a_class_in_common_have_no_mean():
    labels, scores, patient = draw()
    labels[:100, :2] = 0
    labels[100:, 2] = 0
    sex = np.array(["M"] * 100 + ["F"] * 100)
    found = subgroups(labels, scores, patient, {"sex": sex}, NAMES, patient_weights(patient, 10))["sex"]
    assert found["classes"] == [] and found["groups"]["M"]["auroc"] is None
    assert found["groups"]["M"]["per_class"]["Hernia"] > 0.5
    row = {"positives": 1, "negatives": 1, "auroc": 0.5, "sensitivity": {}, "ece": None, "brier": None}
    rows = [{**row, "name": name, "at_threshold": None} for name in NAMES]
    details = {"draws": 10, "classes": rows, "macro": {"classes": 3}, "subgroups": {"sex": found}}
    assert "mean of 0 classes that have positives and negatives in each group\n" in table(details)
    details["subgroups"]["sex"] = {**found, "classes": ["Mass", "Nodule"], "unknown": 4, "left_out": {"X": 2}}
    assert "(all but Hernia); unknown for 4 images; no such class in X\n" in table(details)
