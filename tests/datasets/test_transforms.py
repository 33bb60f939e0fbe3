"""The two viewpoints: their geometry, their exposure, and packing. Reading images: test_loading.py."""

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

import otcxr_mm
from otcxr_mm.datasets.transforms.resize import resize
from otcxr_mm.datasets.transforms.two_view import _overlap
from otcxr_mm.ops import token_centres


def ramp(height, width):
    """An image whose intensity tells the position: x in the one, y in the other."""
    xs = (np.arange(width, dtype=np.float32) + 0.5) / width
    ys = (np.arange(height, dtype=np.float32) + 0.5) / height
    return np.tile(xs, (height, 1)), np.tile(ys[:, None], (1, width))


@pytest.mark.parametrize("shape", [(256, 256), (300, 200), (97, 400)])
@pytest.mark.parametrize("size", [16, 64])
def test_matrix_is_what_was_cut_out(shape, size):
    crop = otcxr_mm.TwoViewCrop(size=size, scale=(0.25, 1))
    for seed in range(10):
        seen = []
        for image in ramp(*shape):
            np.random.seed(seed)
            out = crop({"img": image})
            seen.append(out["img"])
        centres = token_centres(torch.from_numpy(out["view_to_image"]), (size, size)).numpy()
        for view in range(2):
            tolerance = 2 / min(shape) + 0.01
            inner = np.s_[1:-1, 1:-1]  # resizing repeats the border
            xs, ys = centres[view, :, 0].reshape(size, size), centres[view, :, 1].reshape(size, size)
            assert abs(seen[0][view] - xs)[inner].max() < tolerance
            assert abs(seen[1][view] - ys)[inner].max() < tolerance


@pytest.mark.parametrize("rotation", [5, 180])
@pytest.mark.parametrize(("shape", "size"), [((256, 256), 64), ((300, 200), 200), ((97, 400), 48)])
def test_a_turned_crop_is_where_its_matrix_says(shape, size, rotation):
    crop, turned = otcxr_mm.TwoViewCrop(size, scale=(0.25, 1), rotation=rotation), 0
    for seed in range(10):
        seen = []
        for image in ramp(*shape):
            np.random.seed(seed)
            out = crop({"img": image})
            seen.append(out["img"])
        centres = token_centres(torch.from_numpy(out["view_to_image"]), (size, size)).numpy()
        turned = max(turned, abs(out["view_to_image"][:, 0, 1]).max())
        for view in range(2):
            xs, ys = centres[view, :, 0].reshape(size, size), centres[view, :, 1].reshape(size, size)
            # beyond the image its border is repeated
            inside = (np.minimum(xs, 1 - xs) > 3 / shape[1]) & (np.minimum(ys, 1 - ys) > 3 / shape[0])
            assert inside.mean() > 0.2
            assert abs(seen[0][view] - xs)[inside].max() < 1 / shape[1]
            assert abs(seen[1][view] - ys)[inside].max() < 1 / shape[0]
    assert turned > 0.01


def boxes(matrix):
    """Crop (x, y, w, h) of a matrix, without its flip."""
    w, h = abs(matrix[0, 0]), matrix[1, 1]
    return min(matrix[0, 2], matrix[0, 2] + matrix[0, 0]), matrix[1, 2], w, h


def test_overlap_scale_ratio_and_flip_are_as_asked():
    image = np.zeros((200, 200), np.uint8)
    crop = otcxr_mm.TwoViewCrop(size=8, scale=(0.25, 0.5), min_overlap=0.3)
    matrices = np.stack([crop({"img": image})["view_to_image"] for _ in range(1000)])
    pairs = [(boxes(m[0]), boxes(m[1])) for m in matrices]
    assert np.mean([_overlap(a, b) >= 0.29 for a, b in pairs]) > 0.999
    area = np.array([w * h for a, b in pairs for _, _, w, h in (a, b)])
    assert 0.24 < area.min() < 0.26
    assert 0.49 < area.max() < 0.51
    ratio = np.array([w / h for a, b in pairs for _, _, w, h in (a, b)])
    assert 0.73 < ratio.min() < 0.77
    assert 1.3 < ratio.max() < 1.37
    assert abs(np.mean(matrices[:, :, 0, 0] < 0) - 0.5) < 0.05
    assert (otcxr_mm.TwoViewCrop(size=8, flip=0)({"img": image})["view_to_image"][:, 0, 0] > 0).all()
    loose = otcxr_mm.TwoViewCrop(8, (0.05, 0.1), min_overlap=0)
    free = np.stack([loose({"img": image})["view_to_image"] for _ in range(300)])
    assert np.mean([_overlap(boxes(m[0]), boxes(m[1])) >= 0.3 for m in free]) < 0.6


@pytest.mark.parametrize("shape", [(256, 256), (256, 310), (1024, 400)])
@pytest.mark.parametrize("scale", [(0.25, 1.0), (0.08, 0.4)])
def test_crops_have_the_distribution_of_mmpretrains(shape, scale):
    from mmpretrain.datasets.transforms import RandomResizedCrop

    image, n = np.zeros(shape, np.uint8), 2000
    theirs = RandomResizedCrop(96, crop_ratio_range=scale)
    y, x, h, w = np.array([theirs.rand_crop_params(image) for _ in range(n)], float).T
    expected = w * h, w / h, x + w / 2, y + h / 2
    # the first viewpoint is free; so is the second, if no overlap is required
    for overlap, view in ((0.3, 0), (0.0, 1)):
        crop = otcxr_mm.TwoViewCrop(96, scale=scale, min_overlap=overlap)
        x, y, w, h = np.array([crop.draw_boxes(shape, shape)[view] for _ in range(n)], float).T
        for own, other in zip((w * h, w / h, x + w / 2, y + h / 2), expected, strict=True):
            assert ks_2samp(own, other).pvalue > 1e-4


def test_a_crop_along_one_axis_only_neither_aliases_nor_is_blocky():
    stripes = np.tile(np.array([0, 255], np.uint8), (32, 200))
    assert abs(resize(stripes, 64, 100).astype(int) - 127).max() <= 1  # averaged
    ramped = np.tile(np.linspace(0, 255, 16, dtype=np.float32)[:, None], (1, 400))
    assert np.diff(resize(ramped, 64, 100)[:, 50]).max() < 255 / 15 / 3.9  # no steps
    img = np.zeros((20, 30), np.uint8)
    assert resize(img, 20, 30) is img


def test_views_never_share_the_image():
    image = np.random.randint(0, 256, (24, 24), dtype=np.uint8)
    image.flags.writeable = False
    for view in otcxr_mm.TwoViewCrop(24, scale=(1, 1), ratio=(1, 1), flip=0)({"img": image})["img"]:
        assert np.array_equal(view, image)
        assert not np.shares_memory(view, image)


# exposure -----------------------------------------------------------------------------------------


def test_the_look_up_table_is_the_formula():
    img = np.arange(256, dtype=np.uint8).reshape(16, 16)
    transform = otcxr_mm.PhotometricCXR(prob=1, blur_prob=0)
    for seed in range(20):
        np.random.seed(seed)
        table = transform({"img": img})["img"]
        np.random.seed(seed)
        exact = transform({"img": img.astype(np.float32)})["img"]
        assert abs(table.astype(np.float32) - exact).max() <= 0.5001
        assert exact.min() >= 0
        assert exact.max() <= 255
        assert (np.diff(exact.ravel()) >= 0).all()  # brighter stays brighter


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("sigma", [0.1, 0.4, 1.0, 2.7])
def test_blur_is_opencvs(sigma, dtype):
    img = np.random.randint(0, 256, (64, 64), dtype=np.uint8).astype(dtype)
    blur = otcxr_mm.PhotometricCXR(prob=0, blur=(sigma, sigma), blur_prob=1)
    assert abs(blur({"img": img})["img"].astype(float) - cv2.GaussianBlur(img, (0, 0), sigma)).max() <= 2
    np.testing.assert_allclose(blur({"img": np.full_like(img, 77)})["img"], 77, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_solarisation_inverts_from_its_threshold_on(dtype):
    ramped = np.arange(256, dtype=dtype)[None]
    solarize = otcxr_mm.PhotometricCXR(prob=0, blur_prob=0, solarize=100, solarize_prob=1)
    inverted = solarize({"img": ramped})["img"][0]
    assert np.array_equal(inverted[:100], ramped[0, :100])
    assert np.array_equal(inverted[100:], 255 - ramped[0, 100:])


def test_probabilities_are_one_per_viewpoint():
    img = np.full((8, 8), 200, np.uint8)
    photo = otcxr_mm.PhotometricCXR(prob=0, blur_prob=0, solarize_prob=(0, 1))
    for _ in range(5):
        a, b = photo({"img": [img, img]})["img"]
        assert (a == 200).all() and (b == 55).all()


# packing ------------------------------------------------------------------------------------------


def test_packing_is_one_channel_wide_and_names_no_patient():
    results = dict(img=[np.zeros((8, 8), np.uint8)] * 2, view_to_image=np.zeros((2, 2, 3), np.float32))
    packed = otcxr_mm.PackViews()({**results, "patient_id": "7", "img_path": "secret/7.png", "sample_idx": 3})
    assert [t.shape for t in packed["inputs"]] == [(1, 8, 8)] * 2
    assert packed["inputs"][0].dtype == torch.uint8
    assert set(packed["data_samples"].metainfo_keys()) == {"sample_idx", "view_to_image"}
