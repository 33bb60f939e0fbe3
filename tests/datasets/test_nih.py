import csv

import numpy as np
import pytest

import otcxr_mm
from tests.datasets.layouts import unpack


def test_labels_patients_views(nih_folder):
    data = otcxr_mm.NIHChestXray14(nih_folder, split="all")
    assert len(data) == 4
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
    train = otcxr_mm.NIHChestXray14(nih_folder, classes=["Hernia", "Effusion"])
    assert train.records.patient.tolist() == ["1", "1", "2"]
    assert repr(train) == "NIHChestXray14 [train_val]: 3 images of 2 patients; positives: Hernia 1, Effusion 1"
    assert otcxr_mm.NIHChestXray14(nih_folder, split="test").records.patient.tolist() == ["3"]


def test_images_in_numbered_folders(nih_folder):
    for i, image in enumerate(sorted((nih_folder / "images").iterdir()), 1):
        target = nih_folder / f"images_{i:03d}" / "images"
        target.mkdir(parents=True)
        image.rename(target / image.name)
    (nih_folder / "images").rmdir()
    data = otcxr_mm.NIHChestXray14(nih_folder)
    assert data.get_data_info(2)["img_path"].endswith("images_003/images/00000002_000.png")


def test_indices_and_subsets(nih_folder):
    assert len(otcxr_mm.NIHChestXray14(nih_folder, indices=2)) == 2
    assert otcxr_mm.NIHChestXray14(nih_folder, indices=[2, 0]).records.patient.tolist() == ["2", "1"]
    data = otcxr_mm.NIHChestXray14(nih_folder)
    assert data.get_subset(-1)[0]["patient_id"] == "2"
    assert data.get_subset([2])[0]["patient_id"] == "2"
    assert len(data) == 3


def test_missing_images(nih_folder):
    (nih_folder / "images" / "00000002_000.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 3 listed images are missing.*2_000.png.*skip_missing=True"):
        otcxr_mm.NIHChestXray14(nih_folder)
    assert len(otcxr_mm.NIHChestXray14(nih_folder, skip_missing=True)) == 2
    assert len(otcxr_mm.NIHChestXray14(nih_folder, check_files=False)) == 3
    for file in (nih_folder / "images").iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError, match="3 of 3 listed images are missing"):  # skipping all is no way out
        otcxr_mm.NIHChestXray14(nih_folder, skip_missing=True)


@pytest.mark.parametrize(
    ("table", "split"),
    [
        ("Image Index,split\n00000001_000.png,train\n00000001_001.png,train\n00000002_000.png,val\n", "train"),
        ("Patient ID,split\n00000001,train\n00000002,val\n00000003,test\n", "train"),
    ],
)
def test_split_file(nih_folder, table, split):
    (nih_folder / "train_val_list.txt").unlink()  # the official lists are not read
    (nih_folder / "mine.csv").write_text(table)
    data = otcxr_mm.NIHChestXray14(nih_folder, split=split, split_file="mine.csv")
    assert data.records.patient.tolist() == ["1", "1"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,split\nother.png,train\n", "none of its 1 entries in 'path' .*; one would be '00000001_000.png'"),
        (
            "Image Index,split\n00000001_000.png,train\n00000001_000.png,val\n",
            "mine.csv, row 3: 00000001_000.png is in",
        ),
        ("patient,split\n1,test\n2,test\n3,val\n", r"split 'train' is empty; the splits are {'test': 3, 'val': 1}"),
        ("patient,part\n1,train\n", r"mine.csv: no column for the split, one of \['split'\]"),
    ],
)
def test_split_files_that_are_wrong(nih_folder, table, message):
    (nih_folder / "mine.csv").write_text(table)
    with pytest.raises(ValueError, match=message):
        otcxr_mm.NIHChestXray14(nih_folder, split="train", split_file="mine.csv")


def test_folder_and_split_that_are_wrong(nih_folder):
    with pytest.raises(FileNotFoundError, match="data_root='nowhere/nih' is not a folder .*--cfg-options"):
        otcxr_mm.NIHChestXray14("nowhere/nih")
    with pytest.raises(ValueError, match=r"split must be one of \['train_val', 'test', 'all'\], got 'train'"):
        otcxr_mm.NIHChestXray14(nih_folder, split="train")


def test_the_genuine_table_of_the_old_form(real_data, tmp_path):
    (tmp_path / "sample_labels.csv").write_bytes((real_data / "tables" / "sample_labels.csv").read_bytes())
    (tmp_path / "images").mkdir()
    whole = dict(split="all", ann_file="sample_labels.csv", check_files=False)
    records = otcxr_mm.NIHChestXray14(tmp_path, **whole).records
    assert len(records) == 5_606
    assert records.patient[0] == "13"
    assert records.age[:2].tolist() == [60, 57]
    assert np.nanmin(records.age) < 1  # some ages are in months and days
    assert np.nanmax(records.age) <= 120
    assert (records.sex == "M").sum() == 3_134
    women = otcxr_mm.NIHChestXray14(tmp_path, sexes=["F"], ages=(40, 60), **whole)
    rows = list(csv.DictReader((tmp_path / "sample_labels.csv").read_text().splitlines()))
    expected = [r for r in rows if r["Patient Gender"] == "F" and r["Patient Age"][3] == "Y"]
    assert len(women) == sum(40 <= int(r["Patient Age"][:3]) <= 60 for r in expected)


def test_the_full_table(real_data, tmp_path):
    """112,120 rows and the official lists, as in Wang et al. and NIH's README."""
    table = tmp_path / "Data_Entry_2017_v2020.csv"
    unpack(real_data / "tables" / "Data_Entry_2017_v2020.csv.gz", table)
    for name in ("train_val_list.txt", "test_list.txt"):
        (tmp_path / name).write_text((real_data / "tables" / name).read_text())
    (tmp_path / "images").mkdir()
    everything = otcxr_mm.NIHChestXray14(tmp_path, split="all", check_files=False).records
    assert len(everything) == 112_120
    assert len(set(everything.patient.tolist())) == 30_805
    train = otcxr_mm.NIHChestXray14(tmp_path, check_files=False).records
    test = otcxr_mm.NIHChestXray14(tmp_path, split="test", check_files=False).records
    assert (len(train), len(test)) == (86_524, 25_596)
    assert not set(train.patient.tolist()) & set(test.patient.tolist())
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert np.isfinite(everything.age).all()
    assert (everything.sex == "M").sum() == sum(row["Patient Gender"] == "M" for row in rows)
    hernia = sum("Hernia" in row["Finding Labels"].split("|") for row in rows)
    assert everything.labels[:, 13].sum() == hernia == 227
