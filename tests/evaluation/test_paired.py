import json

import numpy as np
import pytest

from otcxr_mm.evaluation.auc import bootstrap_per_class, per_class
from otcxr_mm.evaluation.bootstrap import interval, patient_weights
from otcxr_mm.evaluation.delong import delong_p
from otcxr_mm.evaluation.paired import compare


def arrays(quality, n=160, noise=0):
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 3)) < 0.3).astype(np.float32)
    labels[:, 2] = 0
    labels[3, 0] = np.nan
    shared = rng.normal(0, 1, labels.shape)
    scores = quality * np.nan_to_num(labels) + shared + np.random.default_rng(noise).normal(0, 0.3, labels.shape)
    return {
        "sample_idx": np.arange(n),
        "patient": np.arange(n) // 4,
        "scores": scores.astype(np.float32),
        "labels": labels,
    }


def test_differences_are_in_the_same_draws():
    a, b = arrays(1.5), arrays(1.0, noise=1)
    found = compare(a, b, draws=200, seed=3, classes=("Mass", "Nodule", "Hernia"))
    json.dumps(found, allow_nan=False)
    labels, first, second = (x.astype(float) for x in (a["labels"], a["scores"], b["scores"]))
    values = [per_class(labels, s)[0] for s in (first, second)]
    counts = patient_weights(a["patient"], 200, 3)
    drawn = [bootstrap_per_class(labels, s, a["patient"], counts)[0] for s in (first, second)]
    row = found["classes"][0]
    assert row["auroc"]["difference"] == pytest.approx(values[0][0] - values[1][0], abs=1e-12)
    assert row["auroc"]["interval"] == pytest.approx(interval(drawn[0][:, 0] - drawn[1][:, 0]), abs=1e-12)
    known = np.isfinite(labels[:, 0])
    assert row["p_delong"] == delong_p(labels[known, 0], first[known, 0], second[known, 0])
    assert found["macro"]["classes"] == ["Mass", "Nodule"] and found["patients"] == 40
    macro = found["macro"]["auroc"]
    assert macro["a"] == pytest.approx(values[0][:2].mean()) and macro["b"] == pytest.approx(values[1][:2].mean())
    difference = drawn[0][:, :2].mean(1) - drawn[1][:, :2].mean(1)
    assert macro["interval"] == pytest.approx(interval(difference), abs=1e-12)
    assert macro["interval"][0] > 0  # the better one is
    # unpaired it would be wider
    alone = interval(drawn[0][:, :2].mean(1))
    assert macro["interval"][1] - macro["interval"][0] < alone[1] - alone[0]
    undefined = found["classes"][2]
    assert undefined["p_delong"] is None and set(undefined["auprc"].values()) == {None}


def test_a_run_does_not_differ_from_itself():
    found = compare(arrays(1), arrays(1), draws=50)
    assert found["macro"]["auroc"]["interval"] == [0, 0] and found["classes"][0]["p_delong"] == 1
    there, back = (compare(*pair, draws=50) for pair in ((arrays(1), arrays(2)), (arrays(2), arrays(1))))
    assert there["macro"]["auprc"]["difference"] == -back["macro"]["auprc"]["difference"]


def change(key, place, value):
    found = arrays(1)
    found[key][place] = value
    return found


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (arrays(1, n=120), r"not on the same images: sample_idx \(160,\) and \(120,\)"),
        (change("sample_idx", 7, 500), "not on the same images: row 7 is sample_idx 7 and 500"),
        (change("labels", (9, 1), np.nan), "different labels, 1 of them; the first one is class 1 of sample_idx 9"),
        (change("patient", slice(8, 12), 1), "different patients, first of sample_idx 8"),
        ({**arrays(1), "labels": arrays(1)["labels"][:, :2]}, "not on the same classes"),
        ({"scores": arrays(1)["scores"]}, "the second run has no sample_idx, patient, labels"),
    ],
)
def test_runs_on_other_images_are_refused(other, message):
    with pytest.raises(ValueError, match=message):
        compare(arrays(1), other, draws=5)
