import numpy as np
import pytest

from otcxr_mm.evaluation.metrics.log_table import table
from otcxr_mm.evaluation.statistics.auc import bootstrap_per_class
from otcxr_mm.evaluation.statistics.bootstrap import interval, mean_over_classes, patient_weights
from otcxr_mm.evaluation.statistics.calibration import calibration
from otcxr_mm.evaluation.statistics.classification import report
from otcxr_mm.evaluation.statistics.delong import delong_interval
from otcxr_mm.evaluation.statistics.operating import best_f1, bootstrap_f1, bootstrap_sensitivity, sensitivity_at

NAMES = ["a", "b", "c"]


def draw(n=150):
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 3)) < (0.4, 0.2, 0.03)).astype(float)
    scores = 1 / (1 + np.exp(1 - labels + rng.normal(0, 1, labels.shape)))
    labels[rng.random(labels.shape) < 0.1] = np.nan
    labels[:5, 2] = 0, 0, 0, 0, 1
    return labels, scores, np.arange(n) // 3


def test_a_row_is_of_the_images_whose_label_is_known():
    labels, scores, patient = draw()
    found = report(labels, scores, patient, NAMES, draws=200, thresholds={"b": 0.4})
    known = np.isfinite(labels[:, 1])
    y, s, row = labels[known, 1], scores[known, 1], found["classes"][1]
    assert (row["positives"], row["negatives"], row["unknown"]) == ((y == 1).sum(), (y == 0).sum(), (~known).sum())
    assert row["prevalence"] == pytest.approx(y.mean())
    assert {key: row[key] for key in ("ece", "brier", "reliability")} == calibration(y, s)
    assert list(row["sensitivity"].values()) == sensitivity_at(y, s, (0.9, 0.95))
    assert row["best_f1"] == best_f1(y, s) == found["best_f1"]["b"]
    assert row["auroc_delong"] == list(delong_interval(y, s))
    counts = patient_weights(patient, 200)
    at = bootstrap_sensitivity(y, s, (0.9, 0.95), patient[known], counts)
    assert row["sensitivity_interval"]["0.95"] == list(interval(at[:, 1]))
    auroc, auprc = bootstrap_per_class(labels, scores, patient, counts)
    assert row["auroc_interval"] == list(interval(auroc[:, 1]))
    two = report(labels[:, :2], scores[:, :2], patient, NAMES[:2], draws=200)
    assert two["macro"]["auprc_interval"] == list(interval(mean_over_classes(auprc[:, :2], np.ones(2, dtype=bool))))
    f1 = bootstrap_f1(y, s, 0.4, patient[known], counts)
    assert row["at_threshold"]["f1_interval"] == list(interval(f1)) == found["macro"]["f1_interval"]
    assert found["macro"]["f1_classes"] == 1


def test_a_class_with_few_patients_has_no_intervals_nor_has_a_mean_with_it():
    labels, scores, patient = draw()
    found = report(labels, scores, patient, NAMES, draws=200, thresholds=dict.fromkeys(NAMES, 0.5))
    *others, row = found["classes"]
    for key in ("auroc_interval", "auroc_delong", "auprc_interval"):
        assert row[key] is None and all(other[key] for other in others), key
    assert row["sensitivity_interval"] == {"0.9": None, "0.95": None} and row["at_threshold"]["f1_interval"] is None
    macro = found["macro"]
    assert macro["classes"] == 3 and None not in (macro["auroc"], macro["auprc"], macro["f1"])
    assert [macro[f"{name}_interval"] for name in ("auroc", "auprc", "f1")] == [None] * 3
    lines = table(found).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|")[3].strip() for line in lines if "|" in line}
    assert cells["c"] == f"{row['auroc']:.3f} [-]" and cells["mean of 3"] == f"{macro['auroc']:.3f} [-]"
    assert cells["a"].count(",") == 1
    assert lines[-1] == "[-]: a class has fewer than 10 patients with the finding, or without it"


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_an_undefined_class_has_no_figures(value):
    labels, scores, patient = draw()
    labels[:, 2] = value
    found = report(labels, scores, patient, NAMES, draws=20, thresholds={"a": 0.5, "c": 0.5})
    row = found["classes"][2]
    for key in ("auroc", "auprc", "auroc_interval", "auroc_delong", "auprc_interval", "best_f1"):
        assert row[key] is None, key
    assert row["sensitivity"] == {"0.9": None, "0.95": None}
    assert found["macro"]["classes"] == 2 and found["macro"]["f1_classes"] == 1
    assert found["macro"]["f1"] == found["classes"][0]["at_threshold"]["f1"]
    assert (row["brier"] is None) == np.isnan(value)


def test_thresholds_of_unknown_classes_are_refused():
    with pytest.raises(ValueError, match="thresholds of unknown classes: .'mass'."):
        report(*draw(), NAMES, draws=0, thresholds={"mass": 0.5})
