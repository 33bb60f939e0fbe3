import csv
import gzip
import time

import numpy as np
import pytest

import otcxr_mm
from tests.conftest import write_image


def test_labels_patients_views(nih_folder):
    data = otcxr_mm.NIHChestXray14(nih_folder, split="all")
    assert len(data) == 4
    assert len(data.metainfo["classes"]) == 14
    info = data.get_data_info(0)
    positive = [c for c, y in zip(data.metainfo["classes"], info["gt_score"], strict=True) if y == 1]
    assert positive == ["Cardiomegaly", "Effusion"]
    assert info["gt_score"].dtype == np.float32
    assert info["patient_id"] == "1"
    assert info["view_position"] == "PA"
    assert info["img_path"].endswith("images/00000001_000.png")
    assert data.get_data_info(1)["gt_score"].sum() == 0
    assert data.get_cat_ids(2) == [13]


def test_official_lists(nih_folder):
    train, test = otcxr_mm.NIHChestXray14(nih_folder), otcxr_mm.NIHChestXray14(nih_folder, split="test")
    assert train.records.patient.tolist() == ["1", "1", "2"]
    assert test.records.patient.tolist() == ["3"]


def test_prints_images_patients_and_positives(nih_folder):
    text = repr(otcxr_mm.NIHChestXray14(nih_folder, classes=["Hernia", "Effusion"]))
    assert text == "NIHChestXray14 [train_val]: 3 images of 2 patients; positives: Hernia 1, Effusion 1"


def test_images_in_numbered_folders(nih_folder):
    for i, image in enumerate(sorted((nih_folder / "images").iterdir()), 1):
        target = nih_folder / f"images_{i:03d}" / "images"
        target.mkdir(parents=True)
        image.rename(target / image.name)
    (nih_folder / "images").rmdir()
    data = otcxr_mm.NIHChestXray14(nih_folder)
    assert data.get_data_info(2)["img_path"].endswith("images_003/images/00000002_000.png")


def test_the_corrected_table_goes_first(nih_folder):
    (nih_folder / "Data_Entry_2017.csv").write_text("broken")
    assert len(otcxr_mm.NIHChestXray14(nih_folder)) == 3


def test_old_table_with_zeros_and_other_columns(nih_folder):
    table = nih_folder / "Data_Entry_2017_v2020.csv"
    table.write_text(table.read_text().replace(",1,50,", ",00000001,060Y,"))
    records = otcxr_mm.NIHChestXray14(nih_folder).records
    assert records.patient.tolist() == ["1", "1", "2"]
    assert records.age.tolist() == [60, 60, 50]
    assert records.sex.tolist() == ["F", "F", "F"]


def test_the_genuine_table_of_the_old_form(real_data, tmp_path):
    (tmp_path / "sample_labels.csv").write_bytes((real_data / "tables" / "sample_labels.csv").read_bytes())
    (tmp_path / "images").mkdir()
    data = otcxr_mm.NIHChestXray14(tmp_path, split="all", ann_file="sample_labels.csv", check_files=False)
    assert len(data) == 5_606
    assert data.records.patient[0] == "13"
    assert data.records.age[:2].tolist() == [60, 57]
    assert np.nanmin(data.records.age) < 1  # some ages are in months and days
    assert np.nanmax(data.records.age) <= 120
    assert (data.records.sex == "M").sum() == 3_134
    women = otcxr_mm.NIHChestXray14(
        tmp_path, split="all", ann_file="sample_labels.csv", check_files=False, sexes=["F"], ages=(40, 60)
    )
    rows = list(csv.DictReader((tmp_path / "sample_labels.csv").read_text().splitlines()))
    expected = [r for r in rows if r["Patient Gender"] == "F" and r["Patient Age"][3] == "Y"]
    assert len(women) == sum(40 <= int(r["Patient Age"][:3]) <= 60 for r in expected)


def test_views_and_indices(nih_folder):
    assert len(otcxr_mm.NIHChestXray14(nih_folder, views=["AP"])) == 1
    assert len(otcxr_mm.NIHChestXray14(nih_folder, indices=2)) == 2
    assert otcxr_mm.NIHChestXray14(nih_folder, indices=[2, 0]).records.patient.tolist() == ["2", "1"]
    data = otcxr_mm.NIHChestXray14(nih_folder)
    assert len(data.get_subset(1)) == 1
    assert len(data) == 3
    assert data.get_subset([2])[0]["patient_id"] == "2"


def test_split_file_by_image_and_by_patient(nih_folder):
    (nih_folder / "mine.csv").write_text("Image Index,split\n00000001_000.png,train\n00000002_000.png,val\n")
    assert len(otcxr_mm.NIHChestXray14(nih_folder, split="train", split_file="mine.csv")) == 1
    (nih_folder / "mine.csv").write_text("patient,split\n1,train\n2,val\n3,test\n")
    assert len(otcxr_mm.NIHChestXray14(nih_folder, split="train", split_file="mine.csv")) == 2


def test_split_file_by_padded_patient_number(nih_folder):
    (nih_folder / "mine.csv").write_text("Patient ID,split\n00000001,train\n00000002,val\n00000003,test\n")
    assert len(otcxr_mm.NIHChestXray14(nih_folder, split="train", split_file="mine.csv")) == 2


def test_split_file_that_names_nothing(nih_folder):
    (nih_folder / "mine.csv").write_text("path,split\nother.png,train\n")
    with pytest.raises(ValueError, match="none of its 1 entries in 'path' .*; one would be '00000001_000.png'"):
        otcxr_mm.NIHChestXray14(nih_folder, split="train", split_file="mine.csv")


# errors -------------------------------------------------------------------------------------------


def test_patient_in_two_lists(nih_folder):
    (nih_folder / "train_val_list.txt").write_text("00000001_000.png\n00000002_000.png\n")
    (nih_folder / "test_list.txt").write_text("00000001_001.png\n00000003_000.png\n")
    with pytest.raises(
        ValueError, match=r"these patients appear in more than one split: 1 \(test, train_val\).*split by patient"
    ):
        otcxr_mm.NIHChestXray14(nih_folder)


def test_patient_in_two_splits_of_ones_own_file(nih_folder):
    (nih_folder / "mine.csv").write_text("Image Index,split\n00000001_000.png,train\n00000001_001.png,val\n")
    with pytest.raises(ValueError, match="mine.csv: these patients appear in more than one split"):
        otcxr_mm.NIHChestXray14(nih_folder, split="train", split_file="mine.csv")


def test_image_in_both_lists(nih_folder):
    (nih_folder / "test_list.txt").write_text("00000001_000.png\n")
    with pytest.raises(ValueError, match="test_list.txt: 00000001_000.png is also in 'train_val'"):
        otcxr_mm.NIHChestXray14(nih_folder)


def test_missing_folder():
    with pytest.raises(FileNotFoundError, match="data_root='nowhere/nih' is not a folder .*--cfg-options"):
        otcxr_mm.NIHChestXray14("nowhere/nih")


def test_missing_table_lists_and_images(nih_folder):
    (nih_folder / "images" / "00000002_000.png").unlink()
    with pytest.raises(
        FileNotFoundError, match="1 of 3 listed images are missing.*00000002_000.png.*skip_missing=True"
    ):
        otcxr_mm.NIHChestXray14(nih_folder)
    assert len(otcxr_mm.NIHChestXray14(nih_folder, skip_missing=True)) == 2
    assert len(otcxr_mm.NIHChestXray14(nih_folder, check_files=False)) == 3
    (nih_folder / "test_list.txt").unlink()
    with pytest.raises(FileNotFoundError, match="test_list.txt: no such list"):
        otcxr_mm.NIHChestXray14(nih_folder)
    (nih_folder / "Data_Entry_2017_v2020.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no Data_Entry_2017\*.csv"):
        otcxr_mm.NIHChestXray14(nih_folder)


def test_missing_image_folder(nih_folder):
    (nih_folder / "images").rename(nih_folder / "pictures")
    with pytest.raises(FileNotFoundError, match="neither images/ nor images_001/images/"):
        otcxr_mm.NIHChestXray14(nih_folder)


def test_table_without_the_column(nih_folder):
    table = nih_folder / "Data_Entry_2017_v2020.csv"
    table.write_text(table.read_text().replace("Patient ID", "PatientID"))
    with pytest.raises(ValueError, match="Data_Entry_2017_v2020.csv: no column 'Patient ID'; the columns are"):
        otcxr_mm.NIHChestXray14(nih_folder)


def test_short_row_unknown_finding_and_double_row(nih_folder):
    table = nih_folder / "Data_Entry_2017_v2020.csv"
    text = table.read_text()
    table.write_text(text.replace("Hernia", "Hernya"))
    with pytest.raises(ValueError, match="row 4: unknown finding 'Hernya'"):
        otcxr_mm.NIHChestXray14(nih_folder)
    table.write_text(text + "00000009_000.png,Mass\n")
    with pytest.raises(ValueError, match="row 6: 2 fields where the header has 11"):
        otcxr_mm.NIHChestXray14(nih_folder)
    table.write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(ValueError, match="00000001_000.png is listed in several rows"):
        otcxr_mm.NIHChestXray14(nih_folder)


def test_a_class_it_does_not_have_is_unknown(nih_folder):
    labels = otcxr_mm.NIHChestXray14(nih_folder, classes=["Hernia", "Fracture"]).records.labels
    np.testing.assert_array_equal(labels, [[0, np.nan], [0, np.nan], [1, np.nan]])


def test_unknown_class_and_split(nih_folder):
    with pytest.raises(ValueError, match="unknown class 'Fracture'"):
        otcxr_mm.NIHChestXray14(nih_folder, classes=["Fracture"])
    with pytest.raises(ValueError, match=r"split must be one of \['train_val', 'test', 'all'\], got 'train'"):
        otcxr_mm.NIHChestXray14(nih_folder, split="train")


def test_empty_split(nih_folder):
    (nih_folder / "mine.csv").write_text("patient,split\n1,train\n2,train\n3,test\n")
    with pytest.raises(ValueError, match=r"split 'val' is empty; the splits are {'test': 1, 'train': 3}"):
        otcxr_mm.NIHChestXray14(nih_folder, split="val", split_file="mine.csv")
    with pytest.raises(ValueError, match=r"no image with views=\['LL'\]; there are \['AP', 'PA'\]"):
        otcxr_mm.NIHChestXray14(nih_folder, views=["LL"])


# real ---------------------------------------------------------------------------------------------


def test_real_folder(real_data):
    train = otcxr_mm.NIHChestXray14(real_data / "nih")
    assert len(train) == 847
    assert len(otcxr_mm.NIHChestXray14(real_data / "nih", split="test")) == 153
    parts = {
        name: otcxr_mm.NIHChestXray14(real_data / "nih", split=name, split_file="patient_split.csv")
        for name in ("train", "val", "test")
    }
    assert {name: len(d) for name, d in parts.items()} == {"train": 594, "val": 130, "test": 276}
    patients = [set(d.records.patient.tolist()) for d in parts.values()]
    assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])
    assert parts["train"].records.labels[:, 6].sum() == 301


def test_the_full_table(real_data, tmp_path):
    """112,120 rows and the official lists, as in Wang et al. and NIH's README."""
    tables = real_data / "tables"
    with gzip.open(tables / "Data_Entry_2017_v2020.csv.gz", "rt") as stream:
        text = stream.read()
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text(text)
    for name in ("train_val_list.txt", "test_list.txt"):
        (tmp_path / name).write_text((tables / name).read_text())
    write_image(tmp_path / "images" / "00000001_000.png")
    start = time.perf_counter()
    everything = otcxr_mm.NIHChestXray14(tmp_path, split="all", check_files=False)
    print(f"full table in {time.perf_counter() - start:.2f} s")
    assert len(everything) == 112_120
    assert len(set(everything.records.patient.tolist())) == 30_805
    train = otcxr_mm.NIHChestXray14(tmp_path, check_files=False)
    test = otcxr_mm.NIHChestXray14(tmp_path, split="test", check_files=False)
    assert (len(train), len(test)) == (86_524, 25_596)
    assert not set(train.records.patient.tolist()) & set(test.records.patient.tolist())
    rows = list(csv.DictReader(text.splitlines()))
    assert np.isfinite(everything.records.age).all()
    assert (everything.records.sex == "M").sum() == sum(row["Patient Gender"] == "M" for row in rows)
    hernia = sum("Hernia" in row["Finding Labels"].split("|") for row in rows)
    assert everything.records.labels[:, 13].sum() == hernia == 227
