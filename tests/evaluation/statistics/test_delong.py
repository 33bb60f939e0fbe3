import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from otcxr_mm.evaluation.statistics.delong import delong, delong_interval, delong_p


def reference(labels, scores):
    """From the definition: every positive against every negative."""
    positive, negative = scores[:, labels == 1], scores[:, labels == 0]
    wins = np.sign(positive[:, :, None] - negative[:, None, :]) / 2 + 0.5  # (k, m, n)
    covariance = 0
    for values in (wins.mean(2), wins.mean(1)):  # of positives, of negatives
        centred, number = values - values.mean(1, keepdims=True), values.shape[1]
        covariance += (centred[:, None] * centred[None]).sum(2) / (number - 1) / number
    return wins.mean((1, 2)), covariance


def draw(kind, n=70, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(int)
    labels[:4] = 0, 1, 0, 1
    scores = labels + rng.normal(0, 1, (3, n)) + rng.normal(0, 1, n)
    if kind == "ties":
        scores = np.round(scores)
    elif kind == "equal":
        scores[:] = 1
    elif kind == "two of each":
        labels, scores = labels[:4], scores[:, :4]
    return labels, scores


@pytest.mark.parametrize("kind", ["random", "ties", "equal", "two of each"])
def test_it_is_the_definition(kind):
    labels, scores = draw(kind)
    auroc, covariance = delong(labels, scores)
    expected, expected_covariance = reference(labels, scores)
    np.testing.assert_allclose(auroc, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(covariance, expected_covariance, rtol=0, atol=1e-12)
    assert auroc[0] == pytest.approx(roc_auc_score(labels, scores[0]), abs=1e-12)


def test_interval_is_normal_and_clipped():
    labels, scores = draw("random")
    auroc, covariance = delong(labels, scores[:1])
    half = 1.959963984540054 * covariance[0, 0] ** 0.5
    assert delong_interval(labels, scores[0]) == pytest.approx((auroc[0] - half, min(auroc[0] + half, 1)))
    assert delong_interval(np.array([0, 0, 0, 1, 1]), np.array([1, 3, 5, 4, 6.0]))[1] == 1
    assert delong_interval(np.array([0, 0, 1, 1]), np.arange(4.0)) == (1, 1)


def test_p_of_a_difference():
    labels, scores = draw("random")
    auroc, covariance = reference(labels, scores)
    z = (auroc[0] - auroc[1]) / (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) ** 0.5
    from scipy.stats import norm

    assert delong_p(labels, scores[0], scores[1]) == pytest.approx(2 * norm.sf(abs(z)), abs=1e-12)
    assert delong_p(labels, scores[0], scores[0]) == 1
    assert delong_p(labels, scores[0], np.exp(scores[0])) == 1  # the same order
    perfect = labels.astype(float)
    assert np.isnan(delong_p(labels, perfect, -perfect))  # no variance to judge the difference by


def test_too_few_of_a_kind_have_no_variance():
    auroc, covariance = delong(np.array([0, 0, 1]), np.array([[0.1, 0.8, 0.5]]))
    assert auroc[0] == 0.5 and np.isnan(covariance).all()
    assert np.isnan(delong(np.zeros(3), np.zeros((1, 3)))[0]).all()
    assert np.isnan(delong_interval(np.array([0, 0, 1]), np.array([0.1, 0.8, 0.5]))).all()
    assert np.isnan(delong_p(np.array([0, 0, 1]), np.arange(3.0), np.ones(3)))
    with pytest.raises(ValueError, match="labels known"):
        delong(np.array([0, 1, np.nan]), np.zeros((1, 3)))
