"""JSRT, the tuberculosis sets of NLM, and CANDID-PTX: made folders in the publishers' layouts."""

import cv2
import numpy as np
import pytest

import otcxr_mm
from otcxr_mm.datasets.transforms.loading import read_grey
from tests.conftest import write_image
from tests.datasets import layouts

LOAD = [dict(type="otcxr_mm.LoadCXR")]
NAN = np.nan


# JSRT ---------------------------------------------------------------------------------------------


def test_jsrt_has_the_published_counts(tmp_path):
    layouts.jsrt_lists(tmp_path)
    data = otcxr_mm.JSRT(tmp_path, check_files=False)
    assert len(data) == 247
    assert data.records.labels.sum(0).tolist() == [154, 100]
    assert not np.isnan(data.records.labels).any()
    assert len(set(data.records.patient.tolist())) == 247
    assert data.records.path[[0, -1]].tolist() == ["JPCLN001.IMG", "JPCNN093.IMG"]
    # one age of each list is unknown
    np.testing.assert_array_equal(data.records.age[:3], np.float32([50, NAN, 52]))
    assert np.isnan(data.records.age).sum() == 2
    assert data.records.sex[:2].tolist() == ["M", "F"]


def test_jsrt_without_its_lists_knows_nodules_alone(tmp_path):
    data = otcxr_mm.JSRT(tmp_path, check_files=False, classes="nih14")
    nodule = data.records.labels[:, data.metainfo["classes"].index("Nodule")]
    assert nodule.sum() == 154
    own = otcxr_mm.JSRT(tmp_path, check_files=False)
    np.testing.assert_array_equal(own.records.labels[:, 1], [NAN] * 154 + [0] * 93)


@pytest.mark.parametrize("lost", ["\r", ""])
def test_lists_whose_line_ends_were_lost_are_read(tmp_path, lost):
    layouts.jsrt(tmp_path)
    truth = otcxr_mm.JSRT(tmp_path, check_files=False).records
    for file in (tmp_path / "Clinical_Information").iterdir():
        file.write_text(file.read_text().replace("\r", lost))
    found = otcxr_mm.JSRT(tmp_path, check_files=False).records
    np.testing.assert_array_equal(found.labels, truth.labels)
    np.testing.assert_array_equal(found.age, truth.age)


def test_raw_images_of_jsrt_are_inverted_at_full_depth(tmp_path):
    layouts.jsrt_lists(tmp_path)
    values = np.zeros((2048, 2048), ">u2")
    values[0, :4] = (0, 1, 4094, 4095)
    values[1:] = np.arange(2048) * 2
    (tmp_path / "JPCLN001.IMG").write_bytes(values.tobytes())
    data = otcxr_mm.JSRT(tmp_path, skip_missing=True, pipeline=LOAD, test_mode=True)
    assert data.records.path.tolist() == ["JPCLN001.IMG"]
    img = data[0]["img"]
    assert img.shape == (2048, 2048) and img.dtype == np.float32
    # 0 is white
    np.testing.assert_allclose(img[0, :4], np.array([4095, 4094, 1, 0]) * 255 / 4095, rtol=1e-6)
    np.testing.assert_allclose(img[5], (4095 - values[5].astype(float)) * 255 / 4095, rtol=1e-6)
    # a folder of them is read, too
    assert otcxr_mm.UnlabeledCXR(tmp_path).records.path.tolist() == ["JPCLN001.IMG"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes, but an .IMG of JSRT has 8,388,608"),
        (bytes(2 * 2048 * 2047), "8,384,512 bytes, but an .IMG of JSRT has 8,388,608"),
        # bytes in the order of most machines
        (np.full((2048, 2048), 300, "<u2").tobytes(), "a value of 11265, but an .IMG of JSRT has 12 bits"),
    ],
    ids=["empty", "truncated", "little-endian"],
)
def test_an_img_that_is_not_jsrts_is_an_error(tmp_path, content, message):
    (tmp_path / "a.IMG").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_grey(str(tmp_path / "a.IMG"))


# tuberculosis -------------------------------------------------------------------------------------


def test_names_give_labels_and_readings_give_people(tmp_path):
    layouts.tuberculosis(tmp_path)
    data = otcxr_mm.TuberculosisCXR(tmp_path)
    records = data.records
    by_name = {path[8:-4]: i for i, path in enumerate(records.path.tolist())}
    assert set(by_name) == set(layouts.READINGS)
    assert all(records.labels[i, 0] == int(name[-1]) for name, i in by_name.items())
    rows = [by_name[name] for name in layouts.READINGS]
    assert records.sex[rows].tolist() == ["F", "M", "M", "M", "F", "F"]
    # the last one gives no age, but years of cough
    np.testing.assert_allclose(records.age[rows], [27, 84, 85, 45, 16 / 12, NAN], rtol=1e-6)
    patients = records.patient[rows].tolist()
    assert patients == ["MCUCXR_0001", *["MCUCXR_0113"] * 2, "CHNCXR_0001", "CHNCXR_0330", "CHNCXR_0331"]
    assert data.get_data_info(0)["view_position"] == "PA"


def test_tuberculosis_without_readings(tmp_path):
    layouts.images(tmp_path / "CXR_png", ["MCUCXR_0162_1.png", "MCUCXR_0170_1.png"])
    records = otcxr_mm.TuberculosisCXR(tmp_path).records
    assert np.isnan(records.age).all()
    assert records.patient.tolist() == ["MCUCXR_0162"] * 2


def test_an_image_with_a_palette_is_read_as_the_grey_that_it_shows(tmp_path):
    """As most of Shenzhen's are stored."""
    from PIL import Image

    grey = np.random.default_rng(0).integers(0, 256, (24, 30), dtype=np.uint8)
    order = np.random.default_rng(1).permutation(256).astype(np.uint8)  # of the palette
    picture = Image.fromarray(np.argsort(order).astype(np.uint8)[grey], "P")
    picture.putpalette(np.repeat(order, 3).tobytes())
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_grey(str(tmp_path / "a.png")), grey)


def test_lung_masks_of_montgomery_and_shenzhen(tmp_path):
    from PIL import Image

    layouts.tuberculosis(tmp_path)
    left = np.zeros((24, 30), bool)
    left[5:20, :12] = True
    for name in layouts.READINGS:
        for side, mask in (("leftMask", left), ("rightMask", left[:, ::-1])):
            if name.startswith("MCU"):
                (tmp_path / "ManualMask" / side).mkdir(parents=True, exist_ok=True)
                # with one bit per pixel, as they are shipped
                Image.fromarray(mask).save(tmp_path / "ManualMask" / side / f"{name}.png", bits=1)
            elif name != "CHNCXR_0331_1":  # some have no mask
                (tmp_path / "mask").mkdir(exist_ok=True)
                cv2.imwrite(str(tmp_path / "mask" / f"{name}_mask.png"), (left | left[:, ::-1]) * np.uint8(255))
    sides = dict(leftMask="ManualMask/leftMask", rightMask="ManualMask/rightMask")
    common = dict(img_prefix="CXR_png", skip_missing=True, pipeline=LOAD)
    data = otcxr_mm.CXRSegmentation(tmp_path, mask_prefix=sides, **common)
    assert len(data) == 3
    np.testing.assert_array_equal(data[0]["gt_masks"], np.stack([left, left[:, ::-1]]))
    data = otcxr_mm.CXRSegmentation(tmp_path, mask_prefix=dict(lungs="mask"), mask_suffix="_mask", **common)
    assert data.records.path.tolist() == ["CXR_png/CHNCXR_0001_0.png", "CXR_png/CHNCXR_0330_1.png"]
    np.testing.assert_array_equal(data[1]["gt_masks"], (left | left[:, ::-1])[None])


# CANDID-PTX ---------------------------------------------------------------------------------------


def test_candid_has_patients_studies_and_outlines(tmp_path):
    layouts.candid(tmp_path)
    data = otcxr_mm.CandidPTX(tmp_path, pipeline=LOAD)
    records = data.records
    assert records.path[:2].tolist() == ["dataset/1.2.826.0.0", "dataset/1.2.826.0.1"]
    assert records.patient.tolist() == ["P0", "P0", "P1", "P1", "P2", "P2"]
    assert records.study.tolist() == ["1.2.0", "1.2.0", "1.2.1", "1.2.1", "1.2.2", "1.2.2"]
    assert records.labels[:, 0].tolist() == [0, 1] * 3
    assert data.get_data_info(1)["gt_masks"].sum() == 90
    assert data[1]["img"].shape == data[1]["gt_masks"].shape[1:] == (32, 32)


def test_rows_of_candid_that_say_nothing_or_contradict_each_other_are_left_out(tmp_path):
    layouts.candid(tmp_path)
    table = tmp_path / "Pneumothorax_reports.csv"
    # the same image of another patient, a second outline, a row without
    more = ["1.2.9,1.2.826.0.2,-1,,P9_1.dcm", "1.2.1,1.2.826.0.3,200 7,,P1_3.dcm", "1.2.9,1.2.826.0.8,,,P9_2.dcm"]
    table.write_text("\n".join([table.read_text().rstrip(), *more]))
    data = otcxr_mm.CandidPTX(tmp_path)
    assert [path.rsplit(".", 1)[1] for path in data.records.path.tolist()] == ["0", "1", "3", "4", "5"]
    assert data.records.patient.tolist() == ["P0", "P0", "P1", "P2", "P2"]
    assert data.get_data_info(2)["gt_masks"].sum() == 97


def test_converted_images_of_candid_are_found_by_name(tmp_path):
    layouts.candid(tmp_path)
    for file in list((tmp_path / "dataset").iterdir()):
        file.unlink()
        write_image(file.with_name(f"{file.name}.png"))
    assert otcxr_mm.CandidPTX(tmp_path).records.path[0] == "dataset/1.2.826.0.0.png"
