import json

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator

from tests.evaluation.blobs import H, W, blobs


def as_fields(predicted, true):
    return {key: {"data": torch.from_numpy(mask)} for key, mask in (("pred_masks", predicted), ("gt_masks", true))}


def samples(n=12, spacing=None):
    rng = np.random.default_rng(2)
    out = []
    for i in range(n):
        true = blobs(rng)
        true[1] &= i % 3 == 0
        sample = as_fields(np.roll(true, i % 4, axis=2), true)
        sample |= {"sample_idx": i, "patient_id": f"p{i // 2}", "pixel_spacing": spacing}
        out.append(sample)
    return out


def evaluate(data, classes=("left", "right")):
    evaluator = Evaluator(dict(type="otcxr_mm.MaskMetric"))
    data = [sample | {"mask_classes": classes} for sample in data]
    for start in range(0, len(data), 5):
        evaluator.process(data[start : start + 5])
    return evaluator.evaluate(len(data)), evaluator.metrics[0]


def test_means_intervals_and_arrays():
    found, metric = evaluate(samples())
    arrays = metric.arrays
    assert found["mask/dice/right"] == pytest.approx(arrays["dice"][:, 1].mean())
    assert found["mask/dice"] == pytest.approx(arrays["dice"].mean())
    present = arrays["pixels"] > 0
    by_class = [arrays["hd95"][present[:, k], k].mean() for k in (0, 1)]
    assert found["mask/hd95_present"] == pytest.approx(np.mean(by_class))
    assert arrays["sample_idx"].tolist() == list(range(12))
    assert arrays["patient"].tolist() == [i // 2 for i in range(12)]
    assert {(*arrays[key].shape, arrays[key].dtype.name) for key in ("dice", "iou", "hd95")} == {(12, 2, "float64")}
    details = json.loads(json.dumps(metric.details, allow_nan=False))
    right = details["classes"][1]
    assert (right["name"], right["images"], right["present"]) == ("right", 12, 4)
    low, high = right["dice_present"]["interval"]
    assert low < right["dice_present"]["mean"] < high
    assert (details["patients"], details["unit"], details["hd95_unit"]) == (6, "patient", "pixel")


def test_distances_are_in_millimetres_if_the_spacing_is_known():
    pixels, (millimetres, metric) = evaluate(samples())[0], evaluate(samples(spacing=(0.2, 0.2)))
    assert millimetres["mask/hd95"] == pytest.approx(0.2 * pixels["mask/hd95"])
    assert metric.details["hd95_unit"] == "mm"
    with pytest.raises(ValueError, match="6 of 12 samples have pixel_spacing"):
        evaluate(samples(6) + samples(6, spacing=(0.2, 0.2)))


def test_nothing_but_empty_masks():
    data = [as_fields(np.zeros((1, H, W), bool), np.zeros((1, H, W), bool)) for _ in range(3)]
    found, metric = evaluate(data, classes=("a",))
    assert (found["mask/dice"], found["mask/iou"], found["mask/hd95"]) == (1, 1, 0)
    assert np.isnan(found["mask/dice_present"])
    assert metric.details["mean"]["dice_present"] == {"mean": None, "interval": None}
    assert metric.details["unit"] == "image"


def test_masks_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match=r"masks \(1, 4, 4\), true ones \(1, 4, 5\): masks stay at the size"):
        evaluate([as_fields(np.zeros((1, 4, 4)), np.zeros((1, 4, 5)))])
    with pytest.raises(ValueError, match="3 names of classes, 2 masks per image"):
        evaluate(samples(2), "abc")
