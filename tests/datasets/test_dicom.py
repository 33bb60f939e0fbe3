import sys

import numpy as np
import pytest

from otcxr_mm.datasets.transforms.errors import WhiteError
from otcxr_mm.datasets.transforms.loading import read_grey
from tests.conftest import write_image
from tests.datasets.dicoms import write_dicom

pytest.importorskip("pydicom")

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (30, 40), dtype=np.uint8)
WORDS = RNG.integers(0, 4096, (30, 40), dtype=np.uint16)


def windowed(values):
    """The window of centre 2048 and width 1024, as in DICOM PS3.3 C.11.2.1.2: linear between c - 0.5 -+ (w - 1) / 2."""
    return np.clip(((values - 2047.5) / 1023 + 0.5) * 255, 0, 255)


def test_genuine_pair_comes_out_as_inverses(real_data):
    files = {f.name[:4]: str(f) for f in (real_data / "dicom").glob("*.dcm")}
    positive, negative = read_grey(files["1.2."]), read_grey(files["Fake"])
    assert positive.shape == (1024, 1024)
    assert positive.dtype == np.uint8
    assert positive.std() > 30
    np.testing.assert_array_equal(negative, 255 - positive)


def test_8_bits_are_taken_as_they_are(tmp_path):
    np.testing.assert_array_equal(read_grey(write_dicom(tmp_path / "a.dcm", BYTES)), BYTES)
    inverse = read_grey(write_dicom(tmp_path / "b.dcm", BYTES, photometric="MONOCHROME1"))
    np.testing.assert_array_equal(inverse, 255 - BYTES)


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_12_bits_keep_their_depth(tmp_path, photometric):
    grey = read_grey(write_dicom(tmp_path / "a.dcm", WORDS, 12, photometric))
    expected = WORDS.astype(np.float64) * 255 / 4095
    assert grey.dtype == np.float32
    np.testing.assert_allclose(grey, 255 - expected if photometric == "MONOCHROME1" else expected, atol=2e-5)
    assert len(np.unique(grey)) == len(np.unique(WORDS))


def test_a_window_spreads_its_values_over_the_range(tmp_path):
    tags = dict(WindowCenter=2048, WindowWidth=1024)
    grey = read_grey(write_dicom(tmp_path / "a.dcm", WORDS, 12, **tags))
    np.testing.assert_allclose(grey, windowed(WORDS), atol=1e-3)
    inverse = read_grey(write_dicom(tmp_path / "b.dcm", WORDS, 12, "MONOCHROME1", **tags))
    np.testing.assert_array_equal(inverse, 255 - grey)  # after the window, not before
    several = dict(WindowCenter=[2048, 100], WindowWidth=[1024, 10])
    np.testing.assert_array_equal(read_grey(write_dicom(tmp_path / "c.dcm", WORDS, 12, **several)), grey)


def test_rescaling_goes_before_the_window(tmp_path):
    plain = read_grey(write_dicom(tmp_path / "a.dcm", WORDS, 12, WindowCenter=2048, WindowWidth=1024))
    tags = dict(RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=2 * 2048 - 1000 - 0.5, WindowWidth=2 * 1023 + 1)
    rescaled = read_grey(write_dicom(tmp_path / "b.dcm", WORDS, 12, **tags))
    np.testing.assert_allclose(rescaled, plain, atol=1e-3)
    no_window = read_grey(write_dicom(tmp_path / "c.dcm", WORDS, 12, RescaleSlope=2, RescaleIntercept=-1000))
    np.testing.assert_allclose(no_window, WORDS * (255 / 4095), atol=1e-3)
    idle = read_grey(write_dicom(tmp_path / "d.dcm", BYTES, RescaleSlope=1, RescaleIntercept=0))
    np.testing.assert_array_equal(idle, BYTES)
    assert idle.dtype == np.uint8


def test_a_negative_slope_inverts_the_contrast(tmp_path):
    inverse = 255 - WORDS * (255 / 4095)
    tags = dict(RescaleSlope=-1, RescaleIntercept=4095)
    np.testing.assert_allclose(read_grey(write_dicom(tmp_path / "a.dcm", WORDS, 12, **tags)), inverse, atol=1e-3)
    signed = (WORDS.astype(np.int32) - 2048).astype(np.int16)
    tags = dict(RescaleSlope=-2, RescaleIntercept=0)
    np.testing.assert_allclose(read_grey(write_dicom(tmp_path / "b.dcm", signed, 12, **tags)), inverse, atol=1e-3)
    grey = read_grey(write_dicom(tmp_path / "c.dcm", WORDS, 12, "MONOCHROME1", **tags))
    np.testing.assert_allclose(grey, 255 - inverse, atol=1e-3)
    # a window after it: the same formula, on the values that the slope makes
    tags = dict(RescaleSlope=-1, RescaleIntercept=4095, WindowCenter=2048, WindowWidth=1024)
    grey = read_grey(write_dicom(tmp_path / "d.dcm", WORDS, 12, **tags))
    np.testing.assert_allclose(grey, windowed(4095.0 - WORDS), atol=1e-3)


def test_signed_values_and_a_table_of_values(tmp_path):
    import pydicom

    signed = (WORDS.astype(np.int32) - 2048).astype(np.int16)
    np.testing.assert_allclose(read_grey(write_dicom(tmp_path / "a.dcm", signed, 12)), WORDS * (255 / 4095), atol=1e-3)
    table = pydicom.Dataset()
    table.LUTDescriptor = [256, 0, 16]
    table.LUTData = (257 * (255 - np.arange(256))).astype("<u2").tobytes()
    path = write_dicom(tmp_path / "b.dcm", BYTES, VOILUTSequence=pydicom.Sequence([table]))
    np.testing.assert_allclose(read_grey(path), 255.0 - BYTES, atol=1e-3)


def test_max_value_is_white_where_16_bits_are_claimed(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", WORDS)
    with pytest.raises(WhiteError, match="a.dcm: 16 bits, but no pixel above 4088.*max_value=4095"):
        read_grey(path)
    np.testing.assert_allclose(read_grey(path, max_value=4095), WORDS * (255 / 4095), atol=2e-5)


@pytest.mark.parametrize("name", ["JPEG2000Lossless", "JPEGLosslessSV1", "JPEGLSLossless"])
def test_the_transfer_syntaxes_of_public_collections_have_a_decoder(name):
    import pydicom

    assert pydicom.pixels.get_decoder(getattr(pydicom.uid, name)).is_available


def test_what_a_file_is_tells_its_content(tmp_path):
    img = write_image(tmp_path / "b.png")
    (tmp_path / "b.png").rename(tmp_path / "b.dcm")
    np.testing.assert_array_equal(read_grey(tmp_path / "b.dcm"), img)
    raw = write_dicom(tmp_path / "c.dcm", BYTES).read_bytes()
    (tmp_path / "c.dcm").write_bytes(raw[132:])  # without preamble, as some archives store it
    np.testing.assert_array_equal(read_grey(tmp_path / "c.dcm"), BYTES)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (dict(PixelData=None), "DICOM without pixel data .modality CR"),
        (dict(NumberOfFrames=3), "DICOM with 3 frames"),
        (dict(SamplesPerPixel=3, PhotometricInterpretation="RGB"), "DICOM with 1 frames, 3 samples per pixel, RGB"),
        (dict(PhotometricInterpretation="PALETTE COLOR"), "DICOM with 1 frames, 1 samples per pixel, PALETTE COLOR"),
        (dict(Rows=60000, Columns=60000), "60000 x 60000 pixels; at most 100,000,000"),
        (dict(Rows=None), "damaged, or not a DICOM that pydicom can read .AttributeError"),
    ],
)
def test_headers_that_are_wrong(tmp_path, tags, message):
    path = write_dicom(tmp_path / "a.dcm", BYTES, **tags)
    with pytest.raises(ValueError, match=f"a.dcm: {message}"):
        read_grey(path)


def test_truncated_files_are_named(tmp_path, real_data):
    genuine = next((real_data / "dicom").glob("1.2*.dcm")).read_bytes()
    for raw in (write_dicom(tmp_path / "a.dcm", BYTES).read_bytes(), genuine):
        for kept in (0, 1, 100, 140, 400, len(raw) // 2, len(raw) - 200):
            (tmp_path / "b.dcm").write_bytes(raw[:kept])
            with pytest.raises(ValueError, match="b.dcm: "):
                read_grey(tmp_path / "b.dcm")


def test_without_pydicom_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / "a.dcm", BYTES)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImportError, match="a.dcm: reading DICOM needs pydicom 3: pip install pydicom"):
        read_grey(path)
    write_image(tmp_path / "b.png")
    assert read_grey(tmp_path / "b.png").ndim == 2
