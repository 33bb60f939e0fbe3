import cv2
import numpy as np
import pytest
import torch

import otcxr_mm
from otcxr_mm.datasets.audit import audit
from otcxr_mm.datasets.summary import intensity
from otcxr_mm.datasets.transforms.errors import WhiteError
from otcxr_mm.datasets.transforms.loading import read_grey
from otcxr_mm.datasets.transforms.resize import resize
from otcxr_mm.datasets.transforms.two_view import _overlap
from otcxr_mm.ops import token_centres
from tests.conftest import write_image


def load(path):
    return otcxr_mm.LoadCXR()({"img_path": str(path)})["img"]


# loading ------------------------------------------------------------------------------------------


def test_grey_png_is_read_as_it_is(tmp_path):
    img = write_image(tmp_path / "a.png")
    assert np.array_equal(load(tmp_path / "a.png"), img)


def test_16_bit_keeps_its_depth_on_the_same_scale(tmp_path):
    img = np.array([[0, 1, 257, 65535]], np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), img)
    out = load(tmp_path / "a.png")
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[0, 255 / 65535, 1, 255]], rtol=1e-6)


@pytest.mark.parametrize(("brightest", "error"), [(0, False), (255, False), (256, True), (4095, True), (4096, False)])
def test_12_bits_in_a_16_bit_file_are_an_error_until_max_value_says_what_white_is(tmp_path, brightest, error):
    path = str(tmp_path / "a.tif")
    cv2.imwrite(path, np.array([[0, brightest]], np.uint16))
    if error:
        message = rf"a.tif: 16 bits, but no pixel above {brightest}\..*max_value=4095.*max_value=65535"
        with pytest.raises(WhiteError, match=message):
            load(path)
        np.testing.assert_allclose(read_grey(path, 4095), [[0, brightest * 255 / 4095]], rtol=1e-6)
    else:
        np.testing.assert_allclose(load(path), [[0, brightest * 255 / 65535]], rtol=1e-6)
    np.testing.assert_allclose(read_grey(path, 65535), [[0, brightest * 255 / 65535]], rtol=1e-6)


def test_a_pixel_above_max_value_is_an_error(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.array([[0, 5000]], np.uint16))
    with pytest.raises(WhiteError, match="a.png: has a pixel of 5000, more than max_value=4095"):
        otcxr_mm.LoadCXR(max_value=4095)({"img_path": str(tmp_path / "a.png")})


def test_a_setting_that_does_not_fit_ends_training_and_is_not_a_broken_image(tmp_path):
    write_image(tmp_path / "a.png", (8, 8))
    cv2.imwrite(str(tmp_path / "b.png"), np.full((8, 8), 4095, np.uint16))
    data = otcxr_mm.UnlabeledCXR(tmp_path, pipeline=[otcxr_mm.LoadCXR()], max_broken=1.0)
    for use in (lambda: data[1], lambda: audit({"train": data}, pixels=True), lambda: intensity(data)):
        with pytest.raises(WhiteError, match="b.png: 16 bits, but no pixel above 4095"):
            use()
    assert not len(data.broken)


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_and_transparency_become_grey(tmp_path, channels):
    grey = np.random.randint(0, 256, (8, 9), dtype=np.uint8)
    img = np.repeat(grey[:, :, None], channels, 2)
    img[:, :, 3:] = 255
    cv2.imwrite(str(tmp_path / "a.png"), img)
    assert np.array_equal(load(tmp_path / "a.png"), grey)


def test_palette(tmp_path):
    from PIL import Image

    grey = np.random.randint(0, 256, (8, 9), dtype=np.uint8)
    Image.fromarray(grey).convert("P").save(tmp_path / "a.png")
    assert np.array_equal(load(tmp_path / "a.png"), grey)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.95])
def test_truncated_images_are_named(tmp_path, suffix, kept):
    path = tmp_path / f"a.{suffix}"
    write_image(path, (300, 300))
    raw = path.read_bytes()
    path.write_bytes(raw[: int(kept * len(raw))])
    with pytest.raises(ValueError, match=rf"{path}: (the file is empty|truncated).*copy it again"):
        load(path)


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.png: no such image"):
        load(tmp_path / "gone.png")
    (tmp_path / "a.png").write_text("this is text")
    with pytest.raises(ValueError, match="a.png: truncated, damaged, or no image"):
        load(tmp_path / "a.png")
    cv2.imwrite(str(tmp_path / "a.tiff"), np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match="pixels of type float32"):
        load(tmp_path / "a.tiff")


def test_real_originals(real_data):
    assert load(real_data / "nih/originals/00000773_001.png").shape == (1024, 1024)  # RGBA
    assert load(real_data / "nih/originals/00000573_008.png").dtype == np.uint8
    assert load(sorted((real_data / "kermany/originals").rglob("*.jpeg"))[0]).ndim == 2


# geometry -----------------------------------------------------------------------------------------


def ramp(height, width):
    """An image whose intensity tells the position: x in the one, y in the other."""
    xs = (np.arange(width, dtype=np.float32) + 0.5) / width
    ys = (np.arange(height, dtype=np.float32) + 0.5) / height
    return np.tile(xs, (height, 1)), np.tile(ys[:, None], (1, width))


@pytest.mark.parametrize("shape", [(256, 256), (300, 200), (97, 400)])
@pytest.mark.parametrize("size", [16, 64])
def test_matrix_is_what_was_cut_out(shape, size):
    crop = otcxr_mm.TwoViewCrop(size=size, scale=(0.25, 1))
    for seed in range(20):
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


def test_very_long_images_still_give_two_views():
    out = otcxr_mm.TwoViewCrop(size=8, scale=(0.9, 1.0))({"img": np.zeros((20, 2000), np.uint8)})
    assert [v.shape for v in out["img"]] == [(8, 8), (8, 8)]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"scale": (0, 1)}, "scale is a range"),
        ({"scale": (0.8, 0.2)}, "scale is a range"),
        ({"flip": 2}, "lie in"),
        ({"rotation": -1}, "rotation lies in"),
        ({"interpolation": "nearest"}, "interpolation is one of"),
        ({"ratio": (2, 1)}, "ratio is a range"),
        ({"scale": ((0.1, 1), (0.1, 1), (0.1, 1))}, "one entry a viewpoint"),
        ({"scale": ((0.1, 1), (0, 1))}, "scale is a range"),
    ],
)
def test_crop_arguments_are_checked(kwargs, message):
    with pytest.raises(ValueError, match=message):
        otcxr_mm.TwoViewCrop(size=8, **kwargs)


@pytest.mark.parametrize("rotation", [5, 30, 180])
@pytest.mark.parametrize(("shape", "size"), [((256, 256), 64), ((300, 200), 200), ((97, 400), 48)])
def test_a_turned_crop_is_where_its_matrix_says(shape, size, rotation):
    crop = otcxr_mm.TwoViewCrop(size, scale=(0.25, 1), rotation=rotation)
    turned = 0
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


def test_views_of_several_sizes_and_scales():
    crop = otcxr_mm.TwoViewCrop((48, 48, 16), scale=((0.5, 1), (0.5, 1), (0.05, 0.1)), min_overlap=0.5)
    for _ in range(50):
        out = crop({"img": np.zeros((90, 100), np.uint8)})
        assert [view.shape for view in out["img"]] == [(48, 48), (48, 48), (16, 16)]
        first, _, small = (boxes(matrix) for matrix in out["view_to_image"])
        assert 0.04 < small[2] * small[3] < 0.11
        assert _overlap(first, small) >= 0.45
    packed = otcxr_mm.PackViews()(out)
    assert [view.shape[-1] for view in packed["inputs"]] == [48, 48, 16]


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


def test_views_are_changed_one_by_one_and_zero_changes_nothing():
    img = np.random.randint(0, 256, (32, 32), dtype=np.uint8)
    a, b = otcxr_mm.PhotometricCXR(prob=1, blur_prob=1)({"img": [img, img]})["img"]
    assert not np.array_equal(a, b)
    still = otcxr_mm.PhotometricCXR(0, 0, 0, prob=1, blur_prob=0)({"img": [img]})["img"][0]
    assert np.array_equal(still, img)
    with pytest.raises(ValueError, match="contrast < 1"):
        otcxr_mm.PhotometricCXR(contrast=1)


@pytest.mark.parametrize("eight", [True, False])
def test_jitter_by_factors_is_pillows(eight):
    from PIL import Image, ImageEnhance

    img = np.random.randint(0, 256, (40, 40), dtype=np.uint8)
    img[:20] //= 3
    given = img if eight else img.astype(np.float32)
    transform = otcxr_mm.PhotometricCXR(brightness=0.6, contrast=0.6, gamma=0, prob=1, blur_prob=0, jitter="factor")
    for seed in range(20):
        np.random.seed(seed)
        own = transform({"img": given})["img"]
        np.random.seed(seed)
        np.random.random()  # prob
        bright, slope = 0.4 + 1.2 * np.random.random(2)
        steps = [(ImageEnhance.Brightness, bright), (ImageEnhance.Contrast, slope)]
        expected = Image.fromarray(img)
        for enhance, factor in steps if np.random.random() < 0.5 else steps[::-1]:
            expected = enhance(expected).enhance(factor)
        # Pillow rounds the mean, and rounds down after each step, the first of which the second enlarges by 1.6
        assert abs(own.astype(np.float32) - np.asarray(expected, np.float32)).max() <= 4
        assert own.dtype == given.dtype


def test_blur_is_opencvs():
    img = np.random.randint(0, 256, (64, 64), dtype=np.uint8)
    for sigma in (0.1, 0.4, 1.0, 2.7):
        own = otcxr_mm.PhotometricCXR(prob=0, blur=(sigma, sigma), blur_prob=1)({"img": img})["img"]
        assert abs(own.astype(int) - cv2.GaussianBlur(img, (0, 0), sigma)).max() <= 2
        flat = otcxr_mm.PhotometricCXR(prob=0, blur=(sigma, sigma), blur_prob=1)({"img": np.full_like(img, 77)})["img"]
        assert (flat == 77).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_noise_solarisation_and_erasing(dtype):
    img = np.full((100, 100), 100, dtype)
    off = dict(prob=0, blur_prob=0)
    noise = otcxr_mm.PhotometricCXR(**off, noise=(0.05, 0.05), noise_prob=1)
    np.random.seed(1)
    first = noise({"img": img})["img"]
    assert first.dtype == dtype
    assert abs(first.astype(float).std() - 0.05 * 255) < 4 * 0.05 * 255 / np.sqrt(2 * img.size)
    assert abs(first.astype(float).mean() - 100) < 4 * 0.05 * 255 / 100
    np.random.seed(1)
    assert np.array_equal(first, noise({"img": img})["img"])  # keyed by NumPy's generator alone
    assert not np.array_equal(first, noise({"img": img})["img"])
    ramped = np.arange(256, dtype=dtype)[None]
    inverted = otcxr_mm.PhotometricCXR(**off, solarize=100, solarize_prob=1)({"img": ramped})["img"][0]
    assert np.array_equal(inverted[:100], ramped[0, :100])
    assert np.array_equal(inverted[100:], 255 - ramped[0, 100:])
    erase = otcxr_mm.PhotometricCXR(**off, erase=(0.1, 0.2), erase_value=7, erase_prob=1)
    for _ in range(50):
        missing = erase({"img": img})["img"] == 7
        assert 0.09 < missing.mean() < 0.21
        rows, columns = np.flatnonzero(missing.any(1)), np.flatnonzero(missing.any(0))
        assert (
            missing.sum() == len(rows) * len(columns) == np.ptp(rows) * np.ptp(columns) + len(rows) + len(columns) - 1
        )
    assert (img == 100).all()


def test_probabilities_are_one_a_viewpoint():
    img = np.full((8, 8), 200, np.uint8)
    photo = otcxr_mm.PhotometricCXR(prob=0, blur_prob=0, solarize_prob=(0, 1))
    for _ in range(5):
        a, b = photo({"img": [img, img]})["img"]
        assert (a == 200).all() and (b == 55).all()
    with pytest.raises(ValueError, match=r"solarize_prob=\(0, 1\) has no entry for viewpoint 2"):
        photo({"img": [img] * 3})


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"jitter": "hue"}, "jitter is one of"),
        ({"noise": (0.3, 0.1)}, "noise is a range"),
        ({"erase": (0.3, 1.1)}, "erase is a range"),
        ({"blur_prob": 2}, "blur_prob lies in"),
        ({"solarize_prob": (0, -1)}, "solarize_prob lies in"),
    ],
)
def test_exposure_arguments_are_checked(kwargs, message):
    with pytest.raises(ValueError, match=message):
        otcxr_mm.PhotometricCXR(**kwargs)


# packing ------------------------------------------------------------------------------------------


def test_packing_is_one_channel_wide_and_names_no_patient():
    results = {
        "img": [np.zeros((8, 8), np.uint8)] * 2,
        "view_to_image": np.zeros((2, 2, 3), np.float32),
        "patient_id": "7",
        "img_path": "secret/7.png",
        "sample_idx": 3,
    }
    packed = otcxr_mm.PackViews()(results)
    assert [t.shape for t in packed["inputs"]] == [(1, 8, 8)] * 2
    assert packed["inputs"][0].dtype == torch.uint8
    assert set(packed["data_samples"].metainfo_keys()) == {"sample_idx", "view_to_image"}


def test_goes_together_with_mmpretrains_transforms(tmp_path):
    from mmengine.dataset import Compose
    from mmengine.registry import init_default_scope

    init_default_scope("mmpretrain")
    write_image(tmp_path / "a.png", (50, 60))
    pipeline = Compose(
        [
            dict(type="otcxr_mm.LoadCXR"),
            dict(type="RandomResizedCrop", scale=32),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackInputs"),
        ]
    )
    packed = pipeline({"img_path": str(tmp_path / "a.png"), "gt_score": np.array([1.0, np.nan], np.float32)})
    assert packed["inputs"].shape == (1, 32, 32)
    assert torch.isnan(packed["data_samples"].gt_score[1])
