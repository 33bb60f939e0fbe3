"""Patients, ages, sexes and views from the headers of DICOM files."""

import sys

import numpy as np
import pytest

import otcxr_mm
from tests.conftest import write_image
from tests.datasets.dicoms import write_dicom

PIXELS = np.arange(48, dtype=np.uint8).reshape(6, 8)


def write(folder, patients, **tags):
    for i, patient in enumerate(patients):
        write_dicom(folder / f"{i}.dcm", PIXELS, PatientID=patient, **tags)
    return folder


def test_a_folder_of_dicom_knows_its_patients(tmp_path):
    write_dicom(tmp_path / "1.dcm", PIXELS, PatientID=" P1 ", PatientAge="060Y", PatientSex="F", ViewPosition="PA")
    write_dicom(tmp_path / "1.2.840.3", PIXELS, PatientID="p1", PatientAge="011M", PatientSex="O", ViewPosition="AP")
    write_dicom(tmp_path / "3.dcm", PIXELS, PatientID="P2")
    write_image(tmp_path / "4.png")
    (tmp_path / "list.txt").write_text("1.dcm\n1.2.840.3\n3.dcm\n4.png\n")
    records = otcxr_mm.UnlabeledCXR(tmp_path, ann_file="list.txt").records
    assert records.patient.tolist() == ["P1", "P1", "P2", ""]
    np.testing.assert_allclose(records.age, [60, 11 / 12, np.nan, np.nan], rtol=1e-6)
    assert records.sex.tolist() == ["F", "", "", ""]
    assert records.view.tolist() == ["PA", "AP", "", ""]
    off = otcxr_mm.UnlabeledCXR(tmp_path, ann_file="list.txt", dicom_headers=False).records
    assert set(off.patient.tolist()) == set(off.view.tolist()) == {""}


def test_splits_keep_patients_of_headers_together(tmp_path):
    folder = write(tmp_path, [f"P{i // 2}" for i in range(20)])
    parts = dict(split_by_hash=(("train", 0.5), ("test", 0.5)))
    train, test = (set(otcxr_mm.UnlabeledCXR(folder, split=s, **parts).records.patient) for s in ("train", "test"))
    assert not train & test
    assert len(train | test) == 10


def test_a_table_goes_before_the_headers(tmp_path):
    write(tmp_path, ["A", "B"], PatientSex="M", PatientAge="050Y")
    (tmp_path / "t.csv").write_text("path,patient,sex,label\n0.dcm,,F,1\n1.dcm,1,,0\n")
    records = otcxr_mm.CSVLabeledCXR(tmp_path, "t.csv", ["label"]).records
    assert records.patient.tolist() == ["", "1"]
    assert records.sex.tolist() == ["F", ""]
    assert records.age.tolist() == [50, 50]


@pytest.mark.parametrize(
    ("patients", "known", "wrong"),
    [
        (["HOSP-77"] * 2, ["HOSP-77"] * 2, 0),
        (["", "HOSP-77", "HOSP-77", "HOSP-77"], [""] * 4, 3),
        (["Anonymous", "ANON", "77", "De-Identified"], ["", "", "77", ""], 3),
        (["", "", ""], [""] * 3, 0),
        (["ANON0001", "ANON0002"], ["ANON0001", "ANON0002"], 0),
    ],
)
def test_ids_that_name_nobody_are_unknown(tmp_path, log, patients, known, wrong):
    assert otcxr_mm.UnlabeledCXR(write(tmp_path, patients)).records.patient.tolist() == known
    warnings = [record.getMessage() for record in log.records if record.levelname == "WARNING"]
    assert len(warnings) == (wrong > 0)
    for warning in warnings:
        assert f"PatientID of {wrong} of 4 DICOM files" in warning
        assert "nothing keeps these patients out of two splits" in warning
    assert "77" not in log.text.replace(str(tmp_path), "")


@pytest.mark.filterwarnings("ignore")  # of writing them
def test_headers_that_are_wrong_or_damaged_say_nothing(tmp_path, caplog):
    write(tmp_path, ["A"], PatientAge="old", PatientSex="X")
    raw = write_dicom(tmp_path / "1.dcm", PIXELS, PatientID="B").read_bytes()
    (tmp_path / "1.dcm").write_bytes(raw[:200])
    (tmp_path / "2.dcm").write_bytes(b"")
    write_image(tmp_path / "x.png").tofile(tmp_path / "3.dcm")
    write_dicom(tmp_path / "4.dcm", PIXELS, PatientID="B" * 70)
    caplog.clear()
    records = otcxr_mm.UnlabeledCXR(tmp_path).records
    assert records.patient.tolist() == ["A", "", "", "", "B" * 70, ""]
    assert not [record for record in caplog.records if record.name == "pydicom"]
    assert np.isnan(records.age).all()
    assert set(records.sex.tolist()) == {""}


def test_a_file_that_was_written_anew_is_read_anew(tmp_path):
    for patient in ("A", "Another"):
        assert otcxr_mm.UnlabeledCXR(write(tmp_path, [patient])).records.patient.tolist() == [patient]


def test_without_pydicom_a_warning_says_that_patients_are_not_protected(tmp_path, log, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    for i in range(2):
        (tmp_path / f"{i}.dcm").write_bytes(b"")
    assert otcxr_mm.UnlabeledCXR(tmp_path).records.patient.tolist() == ["", ""]
    assert "the headers of 2 DICOM files were not read, because pydicom is missing" in log.text
    assert "nothing keeps these patients out of two splits" in log.text
