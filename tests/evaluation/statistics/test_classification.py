import csv
import io

import numpy as np
import pytest

from otcxr_mm.engine.hooks.results import _class_rows, _csv
from otcxr_mm.evaluation.metrics.log_table import table
from otcxr_mm.evaluation.statistics.auc import bootstrap_per_class, per_class
from otcxr_mm.evaluation.statistics.bootstrap import interval, mean_over_classes, patient_weights
from otcxr_mm.evaluation.statistics.calibration import brier, calibration_error
from otcxr_mm.evaluation.statistics.classification import report
from otcxr_mm.evaluation.statistics.delong import delong_interval
from otcxr_mm.evaluation.statistics.operating import best_f1, bootstrap_f1, bootstrap_sensitivity, sensitivity_at


def draw(n=150):
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 3)) < (0.4, 0.2, 0.03)).astype(float)
    scores = 1 / (1 + np.exp(1 - labels + rng.normal(0, 1, labels.shape)))
    labels[rng.random(labels.shape) < 0.1] = np.nan
    labels[:5, 2] = 0, 0, 0, 0, 1
    return labels, scores, np.arange(n) // 3


def test_a_row_is_of_the_images_whose_label_is_known():
    labels, scores, patient = draw()
    found = report(labels, scores, patient, ["a", "b", "c"], draws=200, thresholds={"b": 0.4})
    known = np.isfinite(labels[:, 1])
    y, s, row = labels[known, 1], scores[known, 1], found["classes"][1]
    assert (row["positives"], row["negatives"], row["unknown"]) == ((y == 1).sum(), (y == 0).sum(), (~known).sum())
    assert row["prevalence"] == pytest.approx(y.mean())
    assert row["ece"] == calibration_error(y, s) and row["brier"] == brier(y, s)
    assert list(row["sensitivity"].values()) == sensitivity_at(y, s, (0.9, 0.95))
    assert row["best_f1"] == best_f1(y, s) == found["best_f1"]["b"]
    assert row["auroc_delong"] == list(delong_interval(y, s))
    counts = patient_weights(patient, 200)
    at = bootstrap_sensitivity(y, s, (0.9, 0.95), patient[known], counts)
    assert row["sensitivity_interval"]["0.95"] == list(interval(at[:, 1]))
    auroc, auprc = bootstrap_per_class(labels, scores, patient, counts)
    assert row["auroc_interval"] == list(interval(auroc[:, 1]))
    two = report(labels[:, :2], scores[:, :2], patient, ["a", "b"], draws=200)
    assert two["macro"]["auprc_interval"] == list(interval(mean_over_classes(auprc[:, :2], np.ones(2, dtype=bool))))
    f1 = bootstrap_f1(y, s, 0.4, patient[known], counts)
    assert row["at_threshold"]["f1_interval"] == list(interval(f1)) == found["macro"]["f1_interval"]
    assert found["macro"]["f1_classes"] == 1
    assert sum(row["reliability"]["count"]) == len(y) and None in row["reliability"]["confidence"]


def test_a_class_with_few_patients_has_no_intervals_nor_has_a_mean_with_it():
    labels, scores, patient = draw()
    positive = np.flatnonzero(labels[:, 2] == 1)
    assert 0 < len(np.unique(patient[positive])) < 10
    found = report(labels, scores, patient, ["a", "b", "c"], draws=200, thresholds={"a": 0.5, "b": 0.5, "c": 0.5})
    row = found["classes"][2]
    for key in ("auroc_interval", "auroc_delong", "auprc_interval"):
        assert row[key] is None, key
        assert all(other[key] for other in found["classes"][:2]), key
    assert row["sensitivity_interval"] == {"0.9": None, "0.95": None} and row["at_threshold"]["f1_interval"] is None
    assert row["auroc"] == per_class(labels, scores)[0][2] and row["positives"] == len(positive)
    a, _, c, _ = csv.DictReader(io.StringIO(_csv(_class_rows({"details": found}))))  # results.csv
    assert [float(a[f"auroc_interval_{end}"]) for end in ("low", "high")] == found["classes"][0]["auroc_interval"]
    assert not any(text for name, text in c.items() if name.endswith(("_low", "_high")))
    macro = found["macro"]
    assert macro["classes"] == 3 and None not in (macro["auroc"], macro["auprc"], macro["f1"])
    assert [macro[f"{name}_interval"] for name in ("auroc", "auprc", "f1")] == [None] * 3
    lines = table({**found, "subgroups": {}}).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|")[3].strip() for line in lines if "|" in line}
    assert cells["c"] == f"{row['auroc']:.3f} [-]" and cells["mean of 3"] == f"{macro['auroc']:.3f} [-]"
    assert cells["a"].count(",") == 1
    assert lines[-1] == "[-]: a class has fewer than 10 patients with the finding, or without it"


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_a_class_that_is_not_defined_has_nothing(value):
    labels, scores, patient = draw()
    labels[:, 2] = value
    found = report(labels, scores, patient, ["a", "b", "c"], draws=20, thresholds={"a": 0.5, "c": 0.5})
    row = found["classes"][2]
    for key in ("auroc", "auprc", "auroc_interval", "auroc_delong", "auprc_interval", "best_f1"):
        assert row[key] is None, key
    assert row["sensitivity"] == {"0.9": None, "0.95": None}
    assert found["macro"]["classes"] == 2 and found["macro"]["f1_classes"] == 1
    assert found["macro"]["f1"] == found["classes"][0]["at_threshold"]["f1"]
    assert (row["brier"] is None) == np.isnan(value)
