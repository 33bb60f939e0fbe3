"""Damaged and contradictory input: an error that names the file, or a counted skip; never a hang or a wrong label."""

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


# layout, file, what is done to it, what the message names besides the folder
ERRORS = [
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
