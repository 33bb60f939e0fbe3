"""Our views have the distribution of MMPretrain's with the same magnitudes, on real radiographs in grey."""

import cv2
import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from scipy.stats import ks_2samp

import otcxr_mm

SIZE, ROUNDS = 96, 20
# one test in ten thousand fails by chance, if the draws were not seeded
LEVEL = 1e-4


@pytest.fixture(scope="module")
def radiographs(request):
    real_data = request.getfixturevalue("real_data")
    paths = sorted((real_data / "nih" / "images").glob("*.png"))[:200:2]
    return [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]


@pytest.mark.parametrize("shape", [(256, 256), (256, 310), (1024, 400)])
@pytest.mark.parametrize("scale", [(0.25, 1.0), (0.08, 0.4)])
def test_crops(shape, scale):
    from mmpretrain.datasets.transforms import RandomResizedCrop

    image, n = np.zeros(shape, np.uint8), 3000
    theirs = RandomResizedCrop(SIZE, crop_ratio_range=scale)
    boxes = [theirs.rand_crop_params(image) for _ in range(n)]
    y, x, h, w = np.array(boxes, float).T
    # the first viewpoint is free; the second one is, if nothing is asked of it
    for overlap, view in ((0.3, 0), (0.0, 1)):
        crop = otcxr_mm.TwoViewCrop(SIZE, scale=scale, min_overlap=overlap)
        own_x, own_y, own_w, own_h = np.array([crop._draw_all(*shape)[view] for _ in range(n)], float).T
        for a, b in (
            (own_w * own_h, w * h),
            (own_w / own_h, w / h),
            (own_x + own_w / 2, x + w / 2),
            (own_y + own_h / 2, y + h / 2),
        ):
            assert ks_2samp(a, b).pvalue > LEVEL


def grey_views(transforms, images, rounds):
    return np.stack([transforms({"img": image.copy()})["img"] for _ in range(rounds) for image in images])


def statistics(views):
    views = views.astype(np.float32)
    edges = abs(np.diff(views, axis=1)).mean((1, 2)) + abs(np.diff(views, axis=2)).mean((1, 2))
    std = views.std((1, 2))
    # edges do not depend on the contrast then
    return {"mean": views.mean((1, 2)), "std": std, "edges": edges / (std + 1)}


def histograms(views):
    return np.stack([np.bincount(view.ravel() // 8, minlength=32) / view.size for view in views])


def distance(a, b):
    """Area between the cumulated mean histograms: grey levels to shift."""
    return 8 * abs(np.cumsum(a.mean(0) - b.mean(0))).sum()


def test_views(radiographs):
    init_default_scope("mmpretrain")
    theirs = Compose(
        [
            dict(
                type="RandomResizedCrop",
                scale=SIZE,
                crop_ratio_range=(0.08, 1.0),
                interpolation="bicubic",
                backend="pillow",
            ),
            dict(type="RandomFlip", prob=0.5),
            dict(type="RandomApply", transforms=[dict(type="ColorJitter", brightness=0.4, contrast=0.4)], prob=0.8),
            dict(type="GaussianBlur", magnitude_range=(0.1, 2.0), magnitude_std="inf", prob=0.5),
            dict(type="Solarize", thr=128, prob=0.2),
        ]
    )
    ours = Compose(
        [
            dict(
                type="otcxr_mm.TwoViewCrop",
                size=(SIZE,),
                scale=(0.08, 1.0),
                interpolation="bicubic",
            ),
            lambda results: {"img": results["img"][0]},
            dict(
                type="otcxr_mm.PhotometricCXR",
                jitter="factor",
                brightness=0.4,
                contrast=0.4,
                gamma=0,
                prob=0.8,
                blur=(0.1, 2.0),
                blur_prob=0.5,
                solarize=128,
                solarize_prob=0.2,
            ),
        ]
    )
    # MMPretrain works on three channels, here equal ones
    three = [cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) for image in radiographs]
    a, b = grey_views(ours, radiographs, ROUNDS), grey_views(theirs, three, ROUNDS)[..., 0]
    assert a.shape == b.shape and a.dtype == b.dtype
    seen, expected = statistics(a), statistics(b)
    for name in seen:
        assert ks_2samp(seen[name], expected[name]).pvalue > LEVEL, name
        error = np.sqrt(seen[name].var() / len(a) + expected[name].var() / len(b))
        assert abs(seen[name].mean() - expected[name].mean()) < 4 * error, name
    # how far apart histograms of one distribution are: views shared out anew
    own, other = histograms(a), histograms(b)
    both = np.concatenate([own, other])
    shared = []
    for _ in range(300):
        order = np.random.permutation(len(both))
        shared.append(distance(both[order[: len(own)]], both[order[len(own) :]]))
    assert distance(own, other) < 1.1 * max(shared)


@pytest.mark.parametrize(
    ("change", "name"),
    [({"brightness": 0.8}, "mean"), ({"blur_prob": 0.8}, "edges"), ({"solarize_prob": 0.5}, "mean")],
)
def test_other_magnitudes_are_noticed(radiographs, change, name):
    """The test above can fail."""
    arguments = dict(jitter="factor", brightness=0.4, contrast=0.4, gamma=0, blur=(0.1, 2.0), blur_prob=0.5)
    arguments["solarize_prob"] = 0.2
    crop = otcxr_mm.TwoViewCrop((SIZE,), scale=(0.08, 1.0), interpolation="bicubic")
    seen = []
    for settings in (arguments, {**arguments, **change}):
        photo = otcxr_mm.PhotometricCXR(**settings)
        views = [photo(crop({"img": image}))["img"][0] for _ in range(ROUNDS) for image in radiographs]
        seen.append(statistics(np.stack(views))[name])
    assert ks_2samp(*seen).pvalue < LEVEL
