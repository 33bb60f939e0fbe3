import warnings

import numpy as np
import pytest
import torch

from otcxr_mm.evaluation.statistics.masks import hd95, overlap, patient_means
from tests.evaluation.blobs import H, W, blobs


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


def test_overlap_is_that_of_monai(monai):
    for predicted, true in pairs():
        if not true.any((1, 2)).all():
            continue
        dice, iou = overlap(predicted, true)
        batch = as_batch(predicted), as_batch(true)
        expected = monai.MeanIoU(include_background=True, reduction="none")(*batch)[0].numpy()
        np.testing.assert_allclose(iou, expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(dice, 2 * expected / (1 + expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.143, 0.2)])
def test_hd95_is_that_of_monai(monai, spacing):
    metric = monai.HausdorffDistanceMetric(include_background=True, percentile=95)
    for predicted, true in pairs():
        expected = metric(as_batch(predicted), as_batch(true), spacing=spacing)[0].numpy()
        found = [hd95(p, t, spacing) for p, t in zip(predicted, true, strict=True)]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)  # MONAI's are single precision


def test_empty_masks_have_values_unlike_in_monai():
    empty, some = np.zeros((1, H, W), bool), np.zeros((1, H, W), bool)
    some[0, 3:9, 4:20] = True
    for predicted, true, expected in (
        (empty, empty, (1, 1, 0)),
        (empty, some, (0, 0, np.hypot(H, W))),
        (some, empty, (0, 0, np.hypot(H, W))),
    ):
        (dice,), (iou,) = overlap(predicted, true)
        assert (dice, iou, hd95(predicted[0], true[0])) == pytest.approx(expected)
    assert hd95(empty[0], some[0], (0.5, 0.2)) == pytest.approx(np.hypot(0.5 * H, 0.2 * W))


def test_means_in_draws_are_those_of_the_images_drawn():
    rng = np.random.default_rng(1)
    values, patient = rng.random((7, 2)), np.array([0, 0, 1, 2, 2, 2, 3])
    chosen = rng.random((7, 2)) < 0.6
    chosen[:, 1] &= patient == 2  # a class that one patient alone has
    times = np.array([[1, 1, 1, 1], [0, 3, 0, 1], [2, 0, 1, 1]])
    mean, drawn = patient_means(values, patient, times, chosen)
    for row, counts in zip([mean, *drawn], [np.ones(4, int), *times], strict=True):
        images = np.repeat(np.arange(7), counts[patient])
        for k in range(2):
            held = [values[i, k] for i in images if chosen[i, k]]
            assert row[k] == pytest.approx(np.mean(held) if held else np.nan, nan_ok=True)
