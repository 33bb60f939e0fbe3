import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from sklearn.metrics import average_precision_score, roc_auc_score

import otcxr_mm
from otcxr_mm.evaluation.metrics.multilabel_auc import per_class

CLASSES = ("Mass", "Nodule", "Hernia")


def batch(n=50):
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 3)) < 0.3).astype(np.float32)
    labels[:, 2] = 0
    scores = (labels + rng.normal(0, 1, labels.shape)).astype(np.float32)
    return labels, scores


def samples(labels, scores):
    pairs = zip(torch.from_numpy(scores), torch.from_numpy(labels), strict=True)
    return [{"pred_score": score, "gt_score": label} for score, label in pairs]


def test_it_is_scikit_learn_per_class_and_the_mean_over_defined_classes(monkeypatch):
    lines = []
    module = "otcxr_mm.evaluation.metrics.multilabel_auc"
    monkeypatch.setattr(f"{module}.print_log", lambda text, *args: lines.append(text))
    labels, scores = batch()
    evaluator = Evaluator(dict(type="otcxr_mm.MultiLabelAUC"))
    evaluator.dataset_meta = {"classes": CLASSES}
    for part in (slice(0, 20), slice(20, 50)):
        evaluator.process(samples(labels[part], scores[part]))
    found = evaluator.evaluate(50)
    areas = [roc_auc_score(labels[:, c], scores[:, c]) for c in (0, 1)]
    assert found["multilabel/auroc/Mass"] == pytest.approx(areas[0], abs=1e-12)
    assert found["multilabel/auroc"] == pytest.approx(np.mean(areas), abs=1e-12)
    assert found["multilabel/auprc/Nodule"] == pytest.approx(average_precision_score(labels[:, 1], scores[:, 1]))
    assert np.isnan(found["multilabel/auroc/Hernia"])
    assert found["multilabel/classes"] == 2
    assert "over 2 of 3 classes" in lines[0]


def test_unknown_labels_are_left_out_of_their_class():
    labels, scores = batch()
    labels[:10, 0] = np.nan
    auroc, _ = per_class(labels, scores)
    assert auroc[0] == pytest.approx(roc_auc_score(labels[10:, 0], scores[10:, 0]))


def test_what_cannot_be_measured_is_said():
    labels, scores = batch()
    metric = otcxr_mm.MultiLabelAUC(classes=CLASSES[:2])
    metric.process(None, samples(labels, scores))
    with pytest.raises(ValueError, match="2 names of classes, 3 scores"):
        metric.evaluate(50)
    broken = scores.copy()
    broken[3, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 50 images have a score that is NaN"):
        per_class(labels, broken)
    metric = otcxr_mm.MultiLabelAUC()
    metric.process(None, samples(labels[:, 2:], scores[:, 2:]))
    with pytest.raises(ValueError, match="no class has both"):
        metric.evaluate(50)
    with pytest.raises(ValueError, match="a sample has no gt_score"):
        metric.process(None, [{"pred_score": torch.zeros(3)}])
