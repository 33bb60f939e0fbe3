import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from otcxr_mm.evaluation.statistics.auc import bootstrap_per_class, per_class
from otcxr_mm.evaluation.statistics.bootstrap import patient_weights


def draw(kind, n=120, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 3)) < (0.5, 0.2, 0.05)).astype(float)
    labels[:2] = [[0], [1]]
    scores = labels + rng.normal(0, 1, labels.shape)
    patient = rng.integers(0, 40, n)
    patient[:40] = np.arange(40)
    if kind == "ties":
        scores = np.round(scores)
    elif kind == "equal":
        scores[:] = 0.5
    elif kind == "half":
        scores = (1 / (1 + np.exp(-6 * scores))).astype(np.float16).astype(float)
    elif kind == "unknown":
        labels[rng.random(labels.shape) < 0.3] = np.nan
    elif kind == "single positive":
        labels[:], labels[7] = 0, 1
    elif kind == "single negative":
        labels[:], labels[7] = 1, 0
    elif kind == "empty":
        labels[:, 0], labels[:, 1], labels[:, 2] = np.nan, 0, 1
    elif kind == "images":
        patient = np.arange(n)
    return labels, scores, patient


KINDS = ("random", "ties", "equal", "half", "unknown", "single positive", "single negative", "empty", "images")


@pytest.mark.parametrize("kind", KINDS)
def test_each_draw_is_scikit_learn_with_its_weights(kind):
    labels, scores, patient = draw(kind)
    counts = np.concatenate([np.ones((1, patient.max() + 1)), patient_weights(patient, 60)])
    auroc, auprc = bootstrap_per_class(labels, scores, patient, counts)
    defined = 0
    for d, weights in enumerate(counts[:, patient].astype(float)):
        for c in range(labels.shape[1]):
            known = np.isfinite(labels[:, c])
            y, s, w = labels[known, c], scores[known, c], weights[known]
            if w[y == 1].sum() and w[y == 0].sum():
                defined += 1
                assert auroc[d, c] == pytest.approx(roc_auc_score(y, s, sample_weight=w), rel=0, abs=1e-12)
                assert auprc[d, c] == pytest.approx(average_precision_score(y, s, sample_weight=w), rel=0, abs=1e-12)
            else:
                assert np.isnan(auroc[d, c]) and np.isnan(auprc[d, c])
    assert (defined > 0) == (kind != "empty")
    for drawn, whole in zip((auroc, auprc), per_class(labels, scores), strict=True):
        np.testing.assert_allclose(drawn[0], whole, rtol=0, atol=1e-12)


def test_draws_in_blocks_match_all_draws_at_once_with_real_weights(monkeypatch):
    labels, scores, patient = draw("ties")
    counts = np.random.default_rng(0).random((50, 40))
    at_once = bootstrap_per_class(labels, scores, patient, counts)
    weights = counts[3][patient]
    assert at_once[0][3, 0] == pytest.approx(roc_auc_score(labels[:, 0], scores[:, 0], sample_weight=weights))
    monkeypatch.setattr("otcxr_mm.evaluation.statistics.auc._BLOCK", 300)
    for a, b in zip(bootstrap_per_class(labels, scores, patient, counts), at_once, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_what_does_not_fit_is_refused():
    labels, scores, patient = draw("random")
    with pytest.raises(ValueError, match="have the same shape"):
        bootstrap_per_class(labels, scores[:, :2], patient, np.ones((1, 40)))
    scores[4] = np.inf
    with pytest.raises(ValueError, match="1 of 120 images have a score that is NaN or infinite"):
        bootstrap_per_class(labels, scores, patient, np.ones((1, 40)))
