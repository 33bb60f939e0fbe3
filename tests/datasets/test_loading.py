"""Reading PNG, JPEG and TIFF; DICOM: test_dicom.py; damaged files: test_hostile_input.py."""

import cv2
import numpy as np
import pytest
from PIL import Image

import otcxr_mm
from otcxr_mm.datasets.transforms.errors import WhiteError
from otcxr_mm.datasets.transforms.loading import read_grey
from tests.conftest import write_image

GREY = np.random.default_rng(0).integers(0, 256, (8, 9), dtype=np.uint8)
COLOUR = np.stack([GREY, GREY, GREY, 0 * GREY], 2)


def save_deep(path):
    cv2.imwrite(path, np.stack([GREY * np.uint16(257)] * 3 + [np.full((8, 9), 65535, np.uint16)], 2))


@pytest.mark.parametrize(
    "save",
    [
        Image.fromarray(GREY).save,
        Image.fromarray(COLOUR[..., :3]).save,
        Image.fromarray(COLOUR, "RGBA").save,  # wholly transparent
        Image.fromarray(COLOUR[..., ::3], "LA").save,
        Image.fromarray(GREY).convert("P").save,
        lambda path: Image.fromarray(GREY).convert("P").save(path, transparency=3),
        save_deep,
    ],
    ids=["grey", "colour", "transparent", "grey with alpha", "palette", "palette with alpha", "16 bits with alpha"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_colour_and_transparency_become_grey(tmp_path, save):
    save(str(tmp_path / "a.png"))
    np.testing.assert_allclose(read_grey(str(tmp_path / "a.png")), GREY, atol=1e-3)


def test_16_bit_keeps_its_depth_on_the_same_scale(tmp_path):
    img = np.array([[0, 1, 257, 65535]], np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), img)
    out = otcxr_mm.LoadCXR()({"img_path": str(tmp_path / "a.png")})["img"]
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[0, 255 / 65535, 1, 255]], rtol=1e-6)


@pytest.mark.parametrize(("brightest", "error"), [(0, False), (255, False), (256, True), (4095, True), (4096, False)])
def test_12_bits_in_a_16_bit_file_are_an_error_until_max_value_says_what_white_is(tmp_path, brightest, error):
    path = str(tmp_path / "a.tif")
    cv2.imwrite(path, np.array([[0, brightest]], np.uint16))
    if error:
        message = rf"a.tif: 16 bits, but no pixel above {brightest}\..*max_value=4095.*max_value=65535"
        with pytest.raises(WhiteError, match=message):
            read_grey(path)
        np.testing.assert_allclose(read_grey(path, 4095), [[0, brightest * 255 / 4095]], rtol=1e-6)
    else:
        np.testing.assert_allclose(read_grey(path), [[0, brightest * 255 / 65535]], rtol=1e-6)
    np.testing.assert_allclose(read_grey(path, 65535), [[0, brightest * 255 / 65535]], rtol=1e-6)


@pytest.mark.parametrize(
    ("brightest", "max_value", "message"),
    [
        (5000, 4095, "b.png: has a pixel of 5000, more than max_value=4095"),
        (4095, None, "b.png: 16 bits, but no pixel"),
    ],
)
def test_a_setting_that_does_not_fit_ends_training_and_is_not_a_broken_image(tmp_path, brightest, max_value, message):
    # were it an error of the image, the brightest ones would be skipped
    write_image(tmp_path / "a.png", (8, 8))
    cv2.imwrite(str(tmp_path / "b.png"), np.full((8, 8), brightest, np.uint16))
    data = otcxr_mm.UnlabeledCXR(tmp_path, pipeline=[otcxr_mm.LoadCXR(max_value)], max_broken=1.0)
    with pytest.raises(WhiteError, match=message):
        data[1]
    assert not len(data.broken)
