"""Damaged and contradictory input: an error that names the file, or a counted skip; never a hang or a wrong label."""

import gzip
import os
import re
import signal
import struct
import tracemalloc
import zlib
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from otcxr_mm.datasets.tables import read_csv
from tests.conftest import write_image
from tests.datasets.dicoms import write_dicom
from tests.datasets.layouts import LAYOUTS, npz

LOAD = [dict(type="otcxr_mm.LoadCXR")]
NIH_TABLE, RSNA_TABLE, DETAILS = (
    "Data_Entry_2017_v2020.csv",
    "stage_2_train_labels.csv",
    "stage_2_detailed_class_info.csv",
)


# what is done to a file; each returns a function of the file ---------------------------------------


def replace(old, new, count=1):
    def change(file):
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new, count))

    return change


def instead_of(image, name):
    """Names an image differently, in all its rows."""

    def change(file):
        header, *rows = [line.split(",") for line in file.read_text().splitlines()]
        assert any(image in row for row in rows)
        rows = [[name if field == image else field for field in row] for row in rows]
        file.write_text("\n".join(",".join(row) for row in (header, *rows)))

    return change


def append(line):
    return lambda file: file.write_text(f"{file.read_text()}{line}\n")


def text(content):
    return lambda file: file.write_text(content)


def raw(content):
    return lambda file: file.write_bytes(content(file.read_bytes()) if callable(content) else content)


def cut(share):
    return raw(lambda data: data[: int(share * len(data))])


def instead(make):
    def change(file):
        file.unlink()
        make(file)

    return change


def dicom(**tags):
    return lambda file: write_dicom(file, np.zeros((24, 30), np.uint8), **tags)


def array(value):
    return lambda file: cv2.imwrite(str(file), value)


def huge_png(data):
    """The header of a PNG says 60,000 x 60,000 pixels."""
    data = data[:16] + struct.pack(">II", 60_000, 60_000) + data[24:]
    return data[:29] + struct.pack(">I", zlib.crc32(data[12:29])) + data[33:]


def npz_with(**changed):
    return lambda file: npz(file.parent, **changed)


def encoded(name):
    return raw(lambda data: data.decode().encode(name))


def gzipped(share=1.0):
    def change(file):
        packed = gzip.compress(file.read_bytes())
        file.with_name(f"{file.name}.gz").write_bytes(packed[: int(share * len(packed))])
        file.unlink()

    return change


def last_row(old="", new=""):
    """Repeats the last row with a change."""

    def change(file):
        row = file.read_text().splitlines()[-1]
        assert old in row
        append(row.replace(old, new, 1))(file)

    return change


TRAIN, BRAX, PADCHEST = (
    "train.csv",
    "master_spreadsheet_update.csv",
    "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv",
)
META, SPLIT, LABELS = (f"mimic-cxr-2.0.0-{name}.csv" for name in ("metadata", "split", "chexpert"))
VOTES, OUTLINES, CANDID = "annotations/image_labels_train.csv", "train-rle.csv", "Pneumothorax_reports.csv"
# tables of every set that has one: layout, table, a required column
TABLES = [
    ("csv", "t.csv", "path"),
    ("nih", NIH_TABLE, "Image Index"),
    ("vinbig", TRAIN, "class_name"),
    ("vindr", VOTES, "image_id"),
    ("rsna", RSNA_TABLE, "patientId"),
    ("siim", OUTLINES, "EncodedPixels"),
    ("candid", CANDID, "EncodedPixels"),
    ("chexpert", TRAIN, "Path"),
    ("brax", BRAX, "PngPath"),
    ("mimic", META, "dicom_id"),
    ("mimic", SPLIT, "split"),
    ("mimic", LABELS, "study_id"),
    ("padchest", PADCHEST, "Labels"),
]
# layout, file, what is done to it, what the message names besides the folder
ERRORS = [
    *(
        case
        for layout, file, key in TABLES
        for case in (
            (layout, file, os.remove, "the table of" if layout in ("nih", "padchest") else "no such table"),
            (layout, file, instead(lambda file: file.mkdir()), file),
            (layout, file, text(""), f"{file}: {'the table has no rows' if layout == 'csv' else 'no column'}"),
            (layout, file, lambda file: file.write_text(file.read_text().splitlines()[0]), f"{file}: the table has no"),
            (
                layout,
                file,
                replace(key, f"{key}2"),
                f"{file}: no column {'for the ' if layout == 'csv' else repr(key)}",
            ),
            (layout, file, replace(key, f"{key},{key}"), "appears twice"),
            (layout, file, replace(",", ";", -1), "columns are separated by ';'"),
            (layout, file, encoded("utf-16"), f"{file}: save the table as UTF-8"),
            (layout, file, raw(lambda data: data + b"M\xfcller"), "as UTF-8"),
            (layout, file, append('"'), "unexpected end of data"),
            (layout, file, append("x," * 99), "100 fields, but the header has"),
            (layout, file, raw(lambda data: data.rstrip() + b",x"), "fields, but the header has"),
            (layout, file, append("1"), "1 fields, but the header has"),
        )
    ),
    *(
        (layout, file, instead_of(image, bad), f"in column '{column}' must be a path below the folder of the data set")
        for layout, file, column, image in (
            ("nih", NIH_TABLE, "Image Index", "00000002_000.png"),
            ("vinbig", TRAIN, "image_id", "2"),
            ("vindr", VOTES, "image_id", "train2"),
            ("rsna", RSNA_TABLE, "patientId", "2"),
            ("siim", OUTLINES, "ImageId", "1.2.2"),
            ("candid", CANDID, "SOPInstanceUID", "1.2.826.0.2"),
        )
        for bad in ("/etc/x", "../x", "..\\x", "a/../../x", "")
    ),
    ("chexpert", TRAIN, last_row(), "train/patient00002/study2/view1_frontal.jpg is listed in several rows"),
    ("chexpert", TRAIN, replace("1.0,", "2.0,"), "train.csv, row 2: '2.0' in column 'Edema'; expected one of"),
    ("chexpert", TRAIN, replace("CheXpert-v1.0-small/train", "/etc"), "train.csv, row 2: '/etc/patient00001/"),
    ("chexpert", TRAIN, replace("train/patient00001", "train/../p"), "is not like train/patient00001/study1/view1_f"),
    ("chexpert", TRAIN, replace("view1_frontal", "view1"), "train.csv, row 2: 'CheXpert-v1.0-small/train/patient0"),
    ("brax", BRAX, replace("images/id_0", "/images/id_0"), "row 2: '/images/id_0/Study_0/Series_0/image-0.png' in"),
    ("brax", BRAX, replace("images/id_0", "images/../../id_0"), "must be a path below the folder of the data set"),
    ("brax", BRAX, replace("images/id_0", "images\\..\\..\\id_0"), "must be a path below the folder of the data"),
    ("brax", BRAX, last_row(), "image-5.png is listed in several rows"),
    ("brax", BRAX, replace("1.0,", "yes,"), "row 3: 'yes' in column 'Edema'; expected one of"),
    ("mimic", META, last_row(), f"{META}, row 8: dicom_id 00000005-bde0afdd-112c0b34-7bc16630-4e384014 is also in row"),
    ("mimic", META, replace("0000000", "../0000"), f"{META}, row 2: '../00000-bde0afdd"),
    ("mimic", META, replace("10000032", "p10000032"), f"{META}, row 2: 'p10000032' in column 'subject_id' is not a"),
    ("mimic", META, replace("50414267", ""), f"{META}, row 2: '' in column 'study_id' is not a number"),
    ("mimic", META, replace("50414267", "9" * 20), "in column 'study_id' is not a number"),
    (
        "mimic",
        META,
        replace("21800506", "2180-05-06"),
        f"{META}, row 2: '2180-05-06' in column 'StudyDate'; expected a",
    ),
    ("mimic", META, replace("00000000-", "10000000-"), f"{META}, row 2: dicom_id 10000000-bde0afdd-112c0b34-7bc16630"),
    ("mimic", SPLIT, last_row("test", "train"), f"{SPLIT}, row 8: dicom_id 00000005-bde0afdd-112c0b34-7bc16630"),
    ("mimic", SPLIT, replace("train", "validation"), f"{SPLIT}, row 2: 'validation' in column 'split'"),
    ("mimic", SPLIT, replace("train", "test"), "these patients appear in more than one split: 10000032"),
    ("mimic", LABELS, last_row(), f"{LABELS}, row 6: study_id 50414271 is also in row 5: keep one of them"),
    ("mimic", LABELS, replace("-1.0", "1.5"), f"{LABELS}, row 2: '1.5' in column 'Edema'"),
    ("mimic", LABELS, gzipped(0.7), f"{LABELS}.gz: damaged, or not gzipped"),
    ("mimic", LABELS, lambda file: file.rename(f"{file}.gz"), f"{LABELS}.gz: damaged, or not gzipped"),
    ("padchest", PADCHEST, last_row(), "1/5_00-5.png is listed in several rows"),
    ("padchest", PADCHEST, replace("['normal']", "normal"), "row 3: 'normal' in column 'Labels' is not a list"),
    ("padchest", PADCHEST, replace("20140915", "15/09/2014"), "row 2: '15/09/2014' in column 'StudyDate_DICOM'; exp"),
    ("padchest", PADCHEST, replace("0_00-0.png", "../0_00-0.png"), "row 2: '../0_00-0.png' in column 'ImageID' must"),
    ("padchest", PADCHEST, replace("0_00-0.png,0", "0_00-0.png,/etc"), "row 2: '/etc' in column 'ImageDir' must be"),
    ("padchest", PADCHEST, replace("0_00-0.png,0", "0_00-0.png,"), "row 2: '' in column 'ImageDir' must be"),
    ("padchest", "1/1_00-1.png", os.remove, "1 of 6 listed images are missing"),
    # any csv
    ("csv", "t.csv", replace("p0,train,30", "p0,train,x,30"), "t.csv, row 2: 7 fields, but the header has 6"),
    ("csv", "t.csv", replace("31,1,0", "31,1,0.5"), "t.csv, row 3: '0.5' in column 'Edema'"),
    ("csv", "t.csv", raw(lambda data: data.replace(b"p1", b"M\xfcller")), "t.csv: save the table as UTF-8"),
    ("csv", "t.csv", replace("0.png", '"0.png'), "t.csv, row 7: unexpected end of data"),
    ("csv", "t.csv", text("path,Mass,Edema\n\n"), "t.csv: the table has no rows"),
    ("csv", "t.csv", replace("Edema", "Mass"), "t.csv: column 'Mass' appears twice"),
    ("csv", "t.csv", replace(",", "\t", -1), "t.csv: columns are separated by '\\t'"),
    ("csv", "t.csv", instead(os.mkdir), "t.csv: no such table"),
    (
        "csv",
        "t.csv",
        replace("p1,train", "p1,test"),
        "t.csv: these patients appear in more than one split: p1 (test, train)",
    ),
    ("csv", "img/0.png", instead(os.mkfifo), "images are missing, first {}/img/0.png"),
    ("csv", "t.csv", replace("p1,", "p" * 1025 + ","), "t.csv, row 4: 1025 characters in column 'patient'"),
    # NIH
    ("nih", NIH_TABLE, replace("Patient ID", "PatientID"), "v2020.csv: no column 'Patient ID'; the columns are"),
    ("nih", NIH_TABLE, replace("Hernia", "Hernya"), "v2020.csv, row 4: unknown finding 'Hernya'"),
    ("nih", NIH_TABLE, append("00000000_000.png,Mass,0,0,050,F,PA"), "00000000_000.png is listed in several rows"),
    ("nih", NIH_TABLE, replace("0,5,055", "0,0001,055"), "patients appear in more than one split: 1 (test, train_val)"),
    ("nih", "test_list.txt", text("00000000_000.png\n"), "test_list.txt: 00000000_000.png is also in 'train_val'"),
    ("nih", "train_val_list.txt", text("a.png\nb.png\n"), "split 'train_val' is empty; the splits are {{'test': 2}}"),
    ("nih", "images", lambda folder: folder.rename(folder.with_name("x")), "neither images/ nor images_001/images/"),
    # VinBigData, VinDr
    ("vinbig", "train.csv", replace("Cardiomegaly", "Cardiomegali"), "train.csv, row 5: 'Cardiomegali' in column"),
    ("vinbig", "train/0.dcm", lambda file: write_image(file.with_suffix(".png")), "0 is there as train/0.dcm too"),
    ("vindr", "annotations/image_labels_train.csv", append("x,R1,2,0,1"), "row 20: '2' in column 'Cardiomegaly'"),
    # RSNA, SIIM
    ("rsna", RSNA_TABLE, append("0,1,2,3,4,1"), f"{RSNA_TABLE}, row 8: 'Target' of 0 contradicts row 2"),
    ("rsna", DETAILS, append("0,Lung Opacity"), f"{DETAILS}, row 8: 'class' of 0 contradicts row 2"),
    ("rsna", DETAILS, append("x,Opacity"), f"{DETAILS}, row 8: 'Opacity' in column 'class'"),
    *(
        ("siim", "train-rle.csv", append(f"1.2.9,{code}"), "train-rle.csv, row 8: EncodedPixels must be pairs")
        for code in ("5 90 3", "5 -90", "5 x", "1048570 7")
    ),
    ("candid", CANDID, append("s,1.2.826.0.9,5 x,,P1_1"), f"{CANDID}, row 8: EncodedPixels must be pairs"),
    ("candid", CANDID, replace("filename", "file"), f"{CANDID}: no column 'filename'"),
    ("candid", CANDID, text("SOPInstanceUID,EncodedPixels,filename\na,,P1_1\n"), "all 1 rows have no EncodedPixels"),
    ("candid", "dataset/1.2.826.0.3", os.remove, "1 of 6 listed images are missing, first {}/dataset/1.2.826.0.3"),
    # JSRT's lists and the readings of NLM
    *(
        ("jsrt", f"Clinical_Information/{file}", damage, f"{file}: {named}")
        for file, name, kinds in (
            ("CLNDAT_EN.txt", "JPCLN001", "malignant or benign as field 8"),
            ("CNNDAT_EN.TXT", "JPCNN001", "non-nodule as field 4"),
        )
        for damage, named in (
            (text(""), "no entry begins with a name such as JPCLN001.IMG"),
            (encoded("utf-16"), "no entry begins with a name"),
            (raw(np.random.default_rng(0).bytes(3000)), "no entry begins with a name"),
            (cut(0.5), "JPC"),
            (append(f"{name}.IMG"), f"{name}: '' does not have {kinds}"),
            (append(f"{name}.IMG 1 2 3 4 5 6 7 8 9"), f"{name}: '1 2 3 4 5 6 7 8 9' does not have {kinds}"),
        )
    ),
    (
        "jsrt",
        "Clinical_Information/CNNDAT_EN.TXT",
        append("JPCNN002.IMG 20 male non-nodule"),
        "JPCNN002 is in several entries: keep one of them",
    ),
    ("jsrt", "x/JPCLN001.png", write_image, "x/JPCLN001.png: JPCLN001 is there as All247images/JPCLN001.png too"),
    ("tuberculosis", "CXR_png/CHNCXR_0001_2.png", write_image, "CHNCXR_0001_2.png: not named like CHNCXR_0001_0.png"),
    ("tuberculosis", "CXR_png/x/y.png", write_image, "y.png: not named like CHNCXR_0001_0.png"),
    ("tuberculosis", "CXR_png", lambda folder: folder.rename(folder.with_name("x")), "CXR_png: no images in this"),
    # masks, MedMNIST
    ("masks", "masks/3.png", os.remove, "1 of 6 images have no mask, images/3.png first: there is no 3.* in {}/masks"),
    (
        "masks",
        "masks/3.png",
        lambda file: write_image(file.with_suffix(".jpg")),
        "this mask is there as masks/3.jpg too",
    ),
    ("npz", "pneumoniamnist.npz", cut(0.5), "pneumoniamnist.npz: damaged"),
    ("npz", "pneumoniamnist.npz", npz_with(train_labels=np.zeros((5, 1), np.uint8)), "train_labels must be 0 or 1"),
    ("npz", "pneumoniamnist.npz", npz_with(train_labels=np.full((6, 1), np.nan)), "train_labels must be 0 or 1"),
    ("npz", "pneumoniamnist.npz", lambda file: np.savez(file, x=np.zeros(3)), "damaged, or not an npz of MedMNIST"),
]
SKIPS = [
    *(("csv", file, cut(share)) for file in ("img/0.png", "img/1.jpg") for share in (0.01, 0.6, 0.95)),
    ("csv", "img/0.png", text("")),
    ("csv", "img/0.png", raw(np.random.default_rng(0).bytes(3000))),
    *(
        ("csv", "img/0.png", raw(magic + np.random.default_rng(0).bytes(3000)))
        for magic in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"BM", b"II*\0", bytes(128) + b"DICM")
    ),
    ("csv", "img/0.png", raw(huge_png)),
    ("masks", "masks/0.png", cut(0.2)),
    ("masks", "masks/0.png", array(np.arange(720, dtype=np.uint8).reshape(24, 30))),
    ("masks", "masks/0.png", array(np.full((30, 24), 255, np.uint8))),
]


def name_of(value):
    return None if callable(value) else str(value)[:60]


@contextmanager
def no_hang(seconds=20):
    def stop(*_):
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def sound(tmp_path):
    """Writes a folder in a layout, and returns how to read it."""

    def make(layout):
        write, build = LAYOUTS[layout]
        write(tmp_path)
        return lambda: build(tmp_path, pipeline=LOAD, max_broken=0.5)

    return make


@pytest.mark.parametrize(("layout", "file", "damage", "named"), ERRORS, ids=name_of)
def test_an_error_names_the_file(tmp_path, sound, layout, file, damage, named):
    build = sound(layout)
    damage(tmp_path / file)
    with no_hang(), pytest.raises((ValueError, FileNotFoundError)) as error:
        build()
    assert named.format(tmp_path) in str(error.value)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(("layout", "file", "damage"), SKIPS, ids=name_of)
@pytest.mark.filterwarnings("ignore")
def test_a_broken_image_is_skipped_and_named(tmp_path, sound, layout, file, damage):
    build = sound(layout)
    truth = build().records.labels
    damage(tmp_path / file)
    data = build()
    with no_hang():
        items = [data[i] for i in range(len(data))]
    np.testing.assert_array_equal(data.records.labels, truth)
    ((broken, reason),) = data.broken.reasons.items()
    assert str(tmp_path / file) in reason or str(tmp_path / "images" / "0.png") in reason
    assert all(item["sample_idx"] != broken for item in items)
    data.test_mode = True
    with no_hang(), pytest.raises(ValueError, match=re.escape(reason)):
        data[broken]


@pytest.mark.parametrize(("layout", "file", "key"), TABLES, ids=name_of)
@pytest.mark.parametrize(
    "change",
    [
        raw(lambda data: b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n")),
        raw(lambda data: data.replace(b"\n", b"\n\n").rstrip()),
        lambda file: file.write_text("\n".join(f'"x, ""{i}""",{line}' for i, line in enumerate(file.open()))),
        lambda file: file.rename(file.with_name("x")) and file.symlink_to("x"),
    ],
    ids=["bom and windows", "blank lines", "a column more, in quotes", "link"],
)
def test_tables_that_other_programs_wrote_are_read(tmp_path, sound, layout, file, key, change):
    build = sound(layout)
    truth = build().records
    change(tmp_path / file)
    found = build().records
    for name in ("path", "patient", "labels", "visit", "study"):
        np.testing.assert_array_equal(getattr(found, name), getattr(truth, name))


@pytest.mark.parametrize(
    "reading",
    [b"", b"\xff\xfe\0\0", b"sex: sex: age: age:", b"same pt as ", b"9" * 5000, b"male 999999yrs", b"\n" * 5000],
    ids=lambda text: str(text[:20]),
)
def test_readings_that_say_nothing_leave_age_and_sex_unknown_in_no_time(tmp_path, sound, reading):
    build = sound("tuberculosis")
    truth = build().records
    (tmp_path / "ClinicalReadings" / "CHNCXR_0001_0.txt").write_bytes(reading)
    with no_hang():
        found = build().records
    np.testing.assert_array_equal(found.labels, truth.labels)
    np.testing.assert_array_equal(found.patient, truth.patient)
    row = truth.path.tolist().index("CXR_png/CHNCXR_0001_0.png")
    assert np.isnan(found.age[row])
    assert found.sex[row] == ("M" if reading.startswith(b"male") else "")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("t.csv", raw(lambda data: data.replace(b"\n", b"\r\n"))),
        ("t.csv", raw(lambda data: b"\xef\xbb\xbf" + data.replace(b"\n", b"\n\n"))),
        ("img/0.png", lambda file: file.rename(file.with_name("x")) and file.symlink_to("x")),
        ("img/0.png", dicom()),
    ],
    ids=["windows", "bom and blank lines", "link", "dicom named png"],
)
def test_what_other_programs_write_is_read(tmp_path, sound, file, change):
    build = sound("csv")
    truth = build().records.labels
    change(tmp_path / file)
    data = build()
    np.testing.assert_array_equal(data.records.labels, truth)
    assert [data[i]["img"].shape for i in range(len(data))] == [(24, 30)] * len(data)
    assert not len(data.broken)


def test_a_long_field_costs_its_own_length(tmp_path):
    lines = ["path,patient,note", *(f"{i}.png,{i}," for i in range(20_000)), f"x.png,1,{'a' * 10_000}"]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    tracemalloc.start()
    table = read_csv(tmp_path / "t.csv")
    assert table["path"][-1] == "x.png"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
    assert len(table.texts("note")[-1]) == 10_000
    with pytest.raises(ValueError, match=r"t.csv, row 20002: 10000 characters in column 'note'"):
        table["note"]
