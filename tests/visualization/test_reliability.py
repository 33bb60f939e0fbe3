import io

import numpy as np
import pytest

from otcxr_mm.evaluation.statistics.classification import report
from otcxr_mm.visualization.reliability import picture


def rows(classes, n=300):
    rng = np.random.default_rng(0)
    scores = rng.random((n, classes))
    labels = (rng.random(scores.shape) < scores).astype(float)
    labels[:, -1] = np.nan
    return report(labels, scores, np.arange(n), [f"Class_{c}" for c in range(classes)], draws=0)["classes"]


def test_each_class_with_bins_has_a_diagram_of_its_points():
    given = rows(8)
    figure = picture(given)
    diagrams = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title().split("\n")[0] for axis in diagrams] == [f"Class {c}" for c in range(7)]  # no labels: 7
    shown = diagrams[2].lines[-1].get_xydata()
    bins = given[2]["reliability"]
    np.testing.assert_allclose(shown, np.stack([bins["confidence"], bins["frequency"]], 1))
    assert f"ECE {given[2]['ece']:.3f}" in diagrams[2].get_title()
    figure.savefig(io.BytesIO(), format="png", dpi=60)


def test_scores_that_are_no_probabilities_have_none():
    with pytest.raises(ValueError, match="no class has bins of calibration"):
        picture(rows(1))
