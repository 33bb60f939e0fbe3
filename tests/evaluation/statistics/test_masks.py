import json
import pickle
import warnings

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator

import otcxr_mm
from otcxr_mm.evaluation.statistics.masks import hd95, overlap, patient_means

H, W = 37, 52


def blobs(rng, k=2):
    """Random masks of some connected areas, some of which touch the image's border."""
    y, x = np.mgrid[:H, :W]
    out = np.zeros((k, H, W), bool)
    for mask in out:
        for _ in range(3):
            cy, cx, r = rng.uniform(0, H), rng.uniform(0, W), rng.uniform(1, 15)
            mask |= (y - cy) ** 2 + (x - cx) ** 2 < r**2
    return out


def pairs():
    rng = np.random.default_rng(0)
    for _ in range(20):
        yield blobs(rng), blobs(rng)
    yield rng.random((2, 2, H, W)) < 0.3  # speckle
    one, other = np.zeros((2, 1, H, W), bool)
    one[0, 0, 0] = other[0, -1, -1] = True  # a pixel in either corner
    yield one, other
    yield np.ones((1, H, W), bool), one
    yield one, one


@pytest.fixture
def monai():
    metrics = pytest.importorskip("monai.metrics")
    warnings.filterwarnings("ignore", message=".*empty.*|.*all 0.*")
    return metrics


def as_batch(mask):
    return torch.from_numpy(np.ascontiguousarray(mask))[None].double()


def test_overlap_is_monais(monai):
    for predicted, true in pairs():
        if not true.any((1, 2)).all():
            continue
        dice, iou = overlap(predicted, true)
        batch = as_batch(predicted), as_batch(true)
        expected = monai.MeanIoU(include_background=True, reduction="none")(*batch)[0].numpy()
        np.testing.assert_allclose(iou, expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(dice, 2 * expected / (1 + expected), rtol=0, atol=1e-12)
        # MONAI's own Dice is divided in single precision: the same to its last bit
        single = monai.compute_dice(*batch, include_background=True)[0].numpy()
        np.testing.assert_array_equal(dice.astype(np.float32), single.astype(np.float32))


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.143, 0.2)])
def test_hd95_is_monais(monai, spacing):
    metric = monai.HausdorffDistanceMetric(include_background=True, percentile=95)
    for predicted, true in pairs():
        expected = metric(as_batch(predicted), as_batch(true), spacing=spacing)[0].numpy()
        found = [hd95(p, t, spacing) for p, t in zip(predicted, true, strict=True)]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)  # MONAI's are single precision


def test_what_differs_from_monai_at_empty_masks(monai):
    empty, some = np.zeros((1, H, W), bool), np.zeros((1, H, W), bool)
    some[0, 3:9, 4:20] = True
    diagonal = np.hypot(H, W)
    ours = {"both": (1, 1, 0), "predicted": (0, 0, diagonal), "true": (0, 0, diagonal)}
    # MONAI leaves an empty truth out, and has no distance to nothing: NaN
    theirs = {"both": (np.nan,) * 3, "predicted": (0, 0, np.nan), "true": (np.nan,) * 3}
    cases = {"both": (empty, empty), "predicted": (empty, some), "true": (some, empty)}
    for name, (predicted, true) in cases.items():
        dice, iou = overlap(predicted, true)
        assert (dice[0], iou[0], hd95(predicted[0], true[0])) == pytest.approx(ours[name]), name
        batch = as_batch(predicted), as_batch(true)
        found = (
            monai.compute_dice(*batch, include_background=True).item(),
            monai.MeanIoU(include_background=True, reduction="none")(*batch).item(),
            monai.HausdorffDistanceMetric(include_background=True, percentile=95)(*batch).item(),
        )
        assert found == pytest.approx(theirs[name], nan_ok=True), name


def test_distance_of_shifted_squares_in_millimetres():
    a, b = np.zeros((2, 60, 60), bool)
    a[10:30, 10:30] = b[10:30, 17:37] = True
    # the outer sides are seven columns apart, the corners too
    assert hd95(a, b) == 7
    assert hd95(a, b, (0.5, 0.2)) == pytest.approx(1.4)
    assert hd95(np.zeros_like(a), b, (0.5, 0.2)) == pytest.approx(np.hypot(30, 12))


def test_means_in_draws_are_those_of_the_images_drawn():
    rng = np.random.default_rng(1)
    values, patient = rng.random((7, 2)), np.array([0, 0, 1, 2, 2, 2, 3])
    chosen = rng.random((7, 2)) < 0.6
    chosen[:, 1] &= patient == 2  # a class that one patient alone has
    times = np.array([[1, 1, 1, 1], [0, 3, 0, 1], [2, 0, 1, 1]])
    mean, drawn = patient_means(values, patient, times, chosen)
    for k in range(2):
        assert mean[k] == pytest.approx(values[chosen[:, k], k].mean())
    for row, counts in enumerate(times):
        images = [i for i in range(7) for _ in range(counts[patient[i]])]
        for k in range(2):
            held = [values[i, k] for i in images if chosen[i, k]]
            assert drawn[row, k] == pytest.approx(np.mean(held) if held else np.nan, nan_ok=True)


def samples(n=12, spacing=None, patient=True):
    rng = np.random.default_rng(2)
    out = []
    for i in range(n):
        true = blobs(rng)
        true[1] &= i % 3 == 0
        predicted = np.roll(true, i % 4, axis=2)
        sample = {"pred_masks": {"data": torch.from_numpy(predicted)}, "gt_masks": {"data": torch.from_numpy(true)}}
        sample |= {"sample_idx": i, "patient_id": f"p{i // 2}" if patient else ""}
        out.append(sample | ({"pixel_spacing": spacing} if spacing else {}))
    return out


def evaluate(data, classes=("left", "right"), **kwargs):
    evaluator = Evaluator(dict(type="otcxr_mm.MaskMetric", **kwargs))
    data = [sample | {"mask_classes": classes} for sample in data]
    for start in range(0, len(data), 5):
        evaluator.process(data[start : start + 5])
    return evaluator.evaluate(len(data)), evaluator.metrics[0]


def test_the_metric_means_intervals_and_arrays():
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


def test_intervals_of_patients_are_wider_than_those_of_images_where_patients_differ():
    data = samples(40)
    for i, sample in enumerate(data):  # all images of a patient fare alike
        sample["pred_masks"]["data"] = torch.from_numpy(np.roll(sample["gt_masks"]["data"], 3 * (i // 10), axis=2))
        sample["patient_id"] = str(i // 10)
    width = {}
    for name in ("patient", "image"):
        low, high = evaluate(data)[1].details["mean"]["dice"]["interval"]
        width[name] = high - low
        data = [{**sample, "patient_id": ""} for sample in data]
    assert width["patient"] > 1.5 * width["image"]


def test_millimetres():
    pixels, millimetres = evaluate(samples())[0], evaluate(samples(spacing=(0.2, 0.2)))
    assert millimetres[0]["mask/hd95"] == pytest.approx(0.2 * pixels["mask/hd95"])
    assert millimetres[1].details["hd95_unit"] == "mm"
    with pytest.raises(ValueError, match="6 of 12 samples have pixel_spacing"):
        evaluate(samples(6) + samples(6, spacing=(0.2, 0.2)))


def test_nothing_but_empty_masks():
    data = [{key: np.zeros((1, H, W), bool) for key in ("pred_masks", "gt_masks")} for _ in range(3)]
    found, metric = evaluate(data, classes=("a",))
    assert (found["mask/dice"], found["mask/iou"], found["mask/hd95"]) == (1, 1, 0)
    assert np.isnan(found["mask/dice_present"])
    assert metric.details["mean"]["dice_present"] == {"mean": None, "interval": [None, None]}
    assert metric.details["unit"] == "image"


def test_what_the_metric_refuses():
    with pytest.raises(ValueError, match="a sample has no pred_masks: MaskMetric goes with"):
        evaluate([{"gt_masks": np.zeros((1, 4, 4))}])
    with pytest.raises(ValueError, match=r"predicted masks \(1, 4, 4\), true ones \(1, 4, 5\): masks stay at the size"):
        evaluate([{"gt_masks": np.zeros((1, 4, 5)), "pred_masks": np.zeros((1, 4, 4))}])
    with pytest.raises(ValueError, match="3 names of classes, 2 masks an image"):
        evaluate(samples(), classes="abc")
    assert otcxr_mm.MaskMetric(classes=("x", "y")).classes == ("x", "y")


def _part(rank, port, path):
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    data = [sample | {"mask_classes": ("left", "right")} for sample in samples(11)]
    own = [data[i % 11] for i in range(rank, 12, 2)]  # as DefaultSampler deals them out, one twice
    evaluator = Evaluator(dict(type="otcxr_mm.MaskMetric"))
    evaluator.process(own)
    found = evaluator.evaluate(11)
    if rank == 0:
        path.write_bytes(pickle.dumps({"found": found, "arrays": evaluator.metrics[0].arrays}))
    dist.destroy_process_group()


def test_two_processes_are_one(tmp_path):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_part, (port, tmp_path / "r.pkl"), nprocs=2)
    both = pickle.loads((tmp_path / "r.pkl").read_bytes())
    found, metric = evaluate(samples(11))
    assert both["found"] == found
    for key, array in metric.arrays.items():
        np.testing.assert_array_equal(both["arrays"][key], array)
