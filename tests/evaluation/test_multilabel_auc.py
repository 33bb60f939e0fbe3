import json

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as torch_dist
import torch.multiprocessing as mp
from mmengine.evaluator import Evaluator
from sklearn.metrics import average_precision_score, roc_auc_score

import otcxr_mm
from otcxr_mm.evaluation.statistics.auc import per_class

CLASSES = ("Mass", "Nodule", "Hernia")


def batch(n=50):
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 3)) < 0.3).astype(np.float32)
    labels[:, 2] = 0
    return labels, (labels + rng.normal(0, 1, labels.shape)).astype(np.float32)


def samples(labels, scores):
    pairs = zip(torch.from_numpy(scores), torch.from_numpy(labels), strict=True)
    return [{"pred_score": score, "gt_score": label} for score, label in pairs]


def people(n=81, seed=0):
    """Samples as a model returns them: patients with several images, one image without an id, labels unknown."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 3)) < (0.4, 0.3, 0.2)).astype(np.float32)
    scores = 1 / (1 + np.exp(1 - 2 * labels + rng.normal(0, 1, labels.shape)))
    labels[rng.random(labels.shape) < 0.1] = np.nan
    found = []
    for i in range(n):
        patient = f"P{(i * 7) % 30:02d}" if i != 11 else ""
        sample = dict(
            sample_idx=i, patient_id=patient, sex="MF"[i % 2], age=float(i), view_position="PA" if i % 3 else "AP"
        )
        values = {"gt_score": labels[i], "pred_score": scores[i].astype(np.float32)}
        found.append({**sample, **{key: torch.from_numpy(value) for key, value in values.items()}})
    return found


def measured(given, thresholds=None, **kwargs):
    metric = otcxr_mm.MultiLabelAUC(**{"classes": CLASSES, **kwargs})
    metric.thresholds = thresholds
    evaluator = Evaluator(metric)
    evaluator.process(given)
    return metric, evaluator.evaluate(len(given))


def test_it_is_scikit_learn_per_class_and_the_mean_over_defined_classes():
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


def test_what_cannot_be_measured_is_refused():
    labels, scores = batch()
    with pytest.raises(ValueError, match="2 names of classes, 3 scores"):
        measured(samples(labels, scores), classes=CLASSES[:2])
    with pytest.raises(ValueError, match="no class has both positives and negatives among the 50 images"):
        measured(samples(labels[:, 2:], scores[:, 2:]), classes=CLASSES[2:])


def test_details_are_json_and_arrays_give_the_same_figures_again():
    metric, found = measured(people(), draws=100)
    details, arrays = json.loads(json.dumps(metric.details, allow_nan=False)), metric.arrays
    assert (details["images"], details["patients"], details["without_patient"]) == (81, 30, 1)
    assert details["units"] == "patients and images" and details["draws"] == 100
    assert arrays["sample_idx"].tolist() == list(range(81)) and arrays["patient"].max() == 30
    assert arrays["patient"][11] == 30 and arrays["patient"][[0, 30]].tolist() == [0, 0]
    assert [arrays[key].dtype for key in ("sample_idx", "patient", "scores", "labels")] == ["i8", "i8", "f4", "f4"]
    auroc, auprc = per_class(arrays["labels"].astype(float), arrays["scores"].astype(float))
    assert found["multilabel/auroc"] == auroc.mean() == details["macro"]["auroc"]
    assert found["multilabel/auprc/Nodule"] == auprc[1] == details["classes"][1]["auprc"]
    assert [found["multilabel/auroc_low"], found["multilabel/auroc_high"]] == details["macro"]["auroc_interval"]
    assert details["subgroups"]["sex"]["groups"]["M"]["images"] == 41
    assert details["subgroups"]["age"]["groups"]["18-39"]["images"] == 22
    assert set(details["subgroups"]["view"]["groups"]) == {"AP", "PA"}


def test_a_plain_pipeline_makes_images_the_units(monkeypatch):
    lines = []
    monkeypatch.setattr("otcxr_mm.evaluation.metrics.multilabel_auc.print_log", lambda text, *_: lines.append(text))
    metric, _ = measured(samples(*batch()), draws=20)
    assert metric.details["units"] == "images" and metric.arrays["patient"].tolist() == list(range(50))
    assert metric.details["subgroups"] == {"sex": None, "age": None, "view": None}
    (text,) = lines
    assert text.startswith("50 images of 0 patients, 50 without a patient id; [95 % intervals] over 20 bootstrap draws")
    measured(samples(*batch()), draws=0)
    assert "bootstrap" not in lines[1]


def half(rank, init, out):
    torch.set_num_threads(1)
    torch_dist.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    given = people()
    given.append(given[0])  # the sampler fills up the last batch
    metric = otcxr_mm.MultiLabelAUC(classes=CLASSES, draws=50)
    evaluator = Evaluator(metric)
    evaluator.process(given[rank::2])
    found = evaluator.evaluate(81)
    torch.save((found, json.dumps(metric.details), metric.arrays and metric.arrays["scores"].tolist()), f"{out}{rank}")
    torch_dist.destroy_process_group()


def test_two_processes_find_what_one_does(tmp_path):
    mp.spawn(half, (f"file://{tmp_path}/init", tmp_path / "out"), nprocs=2)
    (found, details, scores), (second, *nothing) = (torch.load(tmp_path / f"out{rank}") for rank in range(2))
    metric, expected = measured(people(), draws=50)
    assert found == second == expected
    assert details == json.dumps(metric.details) and scores == metric.arrays["scores"].tolist()
    assert nothing == ["null", None]  # on the main process only


@pytest.mark.parametrize("how", ["mean", "max"])
def test_studies_are_scored_by_their_images(how):
    given = people()
    for i, sample in enumerate(given):
        # studies of two patients have the same number; two images say nothing
        sample.update(collection="C", study_id=str(i // 60) if i not in (5, 11) else "")
    metric, found = measured(given, studies=how)
    plain, expected = measured(given)
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)
    names = [f"{s['patient_id']}/{s['study_id']}" if s["study_id"] else f"alone {i}" for i, s in enumerate(given)]
    frame = pd.DataFrame(metric.arrays["scores"].astype(float)).groupby(names, sort=False)
    scores = (frame.mean() if how == "mean" else frame.max()).to_numpy()
    labels = pd.DataFrame(metric.arrays["labels"].astype(float)).groupby(names, sort=False).max().to_numpy()
    auroc, auprc = per_class(labels, scores)
    details = metric.details["studies"]
    assert (details["pooled"], details["studies"]) == (how, len(labels))
    assert 50 < len(labels) < 81
    np.testing.assert_allclose([row["auroc"] for row in details["classes"]], auroc)
    assert found["multilabel/study_auprc"] == pytest.approx(auprc.mean())
    assert found["multilabel/study_auroc/Mass"] == pytest.approx(auroc[0])
    assert found["multilabel/study_auroc_low"] < auroc.mean() < found["multilabel/study_auroc_high"]
    arrays = metric.arrays
    assert arrays["study_scores"].shape == arrays["study_labels"].shape == (len(labels), 3)
    image = names.index("P00/0")
    expected = scores[list(dict.fromkeys(names)).index("P00/0")]
    np.testing.assert_allclose(arrays["study_scores"][arrays["study"][image]], expected, rtol=1e-6)
    assert "study" not in plain.arrays and "studies" not in plain.details
    json.dumps(metric.details, allow_nan=False)


def test_a_way_to_combine_the_images_of_a_study_that_does_not_exist():
    with pytest.raises(ValueError, match=r"studies must be one of \[None, 'mean', 'max'\], got 'median'"):
        otcxr_mm.MultiLabelAUC(studies="median")
