import json

import numpy as np
import pytest
import torch
import torch.distributed as torch_dist
import torch.multiprocessing as mp
from mmengine.evaluator import Evaluator
from mmpretrain.structures import DataSample
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


def people(n=81, seed=0):
    """Samples as a model gives them: of patients with several images, one image without an id, labels unknown."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 3)) < (0.4, 0.3, 0.2)).astype(np.float32)
    scores = 1 / (1 + np.exp(1 - 2 * labels + rng.normal(0, 1, labels.shape)))
    labels[rng.random(labels.shape) < 0.1] = np.nan
    found = []
    for i in range(n):
        patient = f"P{(i * 7) % 30:02d}" if i != 11 else ""
        meta = dict(
            sample_idx=i, patient_id=patient, sex="MF"[i % 2], age=float(i), view_position="PA" if i % 3 else "AP"
        )
        sample = DataSample(metainfo=meta).set_gt_score(torch.from_numpy(labels[i]))
        found.append(sample.set_pred_score(torch.from_numpy(scores[i].astype(np.float32))))
    return found


def measured(given, **kwargs):
    metric = otcxr_mm.MultiLabelAUC(classes=CLASSES, **kwargs)
    evaluator = Evaluator(metric)
    evaluator.process(given)
    return metric, evaluator.evaluate(len(given))


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
    low, high = details["macro"]["auroc_interval"]
    assert (found["multilabel/auroc_low"], found["multilabel/auroc_high"]) == (low, high)
    assert low < auroc.mean() < high
    assert details["subgroups"]["sex"]["groups"]["M"]["images"] == 41
    assert details["subgroups"]["age"]["groups"]["18-39"]["images"] == 22
    assert set(details["subgroups"]["view"]["groups"]) == {"AP", "PA"}
    assert details["best_f1"].keys() == set(CLASSES)


def test_the_order_in_which_images_come_changes_nothing():
    metric, found = measured(people(), draws=50)
    other, shuffled = measured([people()[i] for i in np.random.default_rng(0).permutation(81)], draws=50)
    assert found == shuffled and metric.details == other.details
    for key, values in metric.arrays.items():
        np.testing.assert_array_equal(values, other.arrays[key])


def test_indices_that_are_there_twice_say_no_order():
    given = people()
    for sample in given[40:]:
        sample.set_metainfo({"sample_idx": sample.sample_idx - 40})  # two data sets, one after the other
    metric, _ = measured(given, draws=0)
    assert metric.arrays["sample_idx"].tolist() == list(range(81))
    np.testing.assert_array_equal(metric.arrays["labels"][50], given[50].gt_score.numpy())


def test_without_draws_there_are_no_intervals_but_all_the_rest():
    metric, found = measured(people(), draws=0)
    assert not any(key.endswith(("low", "high")) for key in found)
    assert metric.details["macro"]["auroc_interval"] is None
    row = metric.details["classes"][0]
    assert (
        row["auroc_interval"] is None
        and row["auroc_delong"]
        and row["ece"]
        and row["sensitivity"].keys()
        == {
            "0.9",
            "0.95",
        }
    )
    assert metric.details["subgroups"]["sex"]["groups"]["F"]["auroc_interval"] is None


def test_a_plain_pipeline_makes_images_the_units_and_says_so_once(monkeypatch):
    lines = []
    monkeypatch.setattr("otcxr_mm.evaluation.metrics.multilabel_auc.print_log", lambda text, *_: lines.append(text))
    labels, scores = batch()
    metric = otcxr_mm.MultiLabelAUC(classes=CLASSES, draws=20)
    metric.process(None, samples(labels, scores))
    metric.evaluate(50)
    assert metric.details["units"] == "images" and metric.arrays["patient"].tolist() == list(range(50))
    assert metric.details["subgroups"] == {"sex": None, "age": None, "view": None}
    table = "\n".join(lines).splitlines()
    assert sum("50 images without patient ids" in line for line in table) == 1
    rows = [line for line in table if line.startswith("|")]
    assert len(rows) == 2 + 3 + 1 and len({len(line) for line in rows}) == 1
    # scores of a normal distribution are no probabilities
    assert metric.details["classes"][0]["ece"] is None and "no probabilities" in metric.details["calibration"]["reason"]


def test_thresholds_of_another_set():
    metric, _ = measured(people(seed=1), draws=0)
    thresholds = metric.details["best_f1"]
    metric = otcxr_mm.MultiLabelAUC(classes=CLASSES, draws=50)
    metric.thresholds = {**thresholds, "Hernia": None}  # undefined there
    metric.process(None, [sample.to_dict() for sample in people()])
    found = metric.evaluate(81)
    rows = metric.details["classes"]
    values = [rows[c]["at_threshold"]["f1"] for c in (0, 1)]
    assert rows[0]["at_threshold"]["threshold"] == thresholds["Mass"] and rows[2]["at_threshold"] is None
    assert found["multilabel/f1"] == pytest.approx(np.mean(values), abs=1e-12)
    low, high = metric.details["macro"]["f1_interval"]
    assert low < found["multilabel/f1"] < high
    json.dumps(metric.details, allow_nan=False)
    metric.thresholds = {"mass": 0.5}
    metric.process(None, [sample.to_dict() for sample in people()])
    with pytest.raises(ValueError, match="thresholds of classes that there are not: .'mass'."):
        metric.evaluate(81)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="subgroups are of .* got .'race'."):
        otcxr_mm.MultiLabelAUC(subgroups=("race",))
    with pytest.raises(ValueError, match="specificities lie in"):
        otcxr_mm.MultiLabelAUC(specificities=(90,))
    with pytest.raises(ValueError, match="draws is a number"):
        otcxr_mm.MultiLabelAUC(draws=-1)


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
