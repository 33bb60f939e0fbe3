"""Parsers of the public collections, against small folders and against the genuine full tables."""

import json

import cv2
import numpy as np
import pytest
from mmengine.dataset import ConcatDataset

import otcxr_mm
from otcxr_mm.datasets.collections.siim import decode_rle
from tests.conftest import write_image
from tests.datasets import layouts
from tests.datasets.layouts import VINBIG_HEADER, unpack, write_text
from tests.journeys.publishers import run_length

LOAD = [dict(type="otcxr_mm.LoadCXR")]


# VinBigData and VinDr-CXR -------------------------------------------------------------------------


@pytest.fixture
def vinbig(tmp_path):
    """Image a: Cardiomegaly by three readers, one of them twice; Nodule/Mass by one. Image b: nothing."""
    rows = ["a,Cardiomegaly,3,R1,1,1,9,9", "a,Cardiomegaly,3,R1,2,2,9,9", "a,Cardiomegaly,3,R2,1,1,9,9"]
    rows += ["a,Nodule/Mass,8,R2,1,1,2,2", "a,Cardiomegaly,3,R3,1,1,9,9"]
    rows += [f"b,No finding,14,R{r},,,," for r in (1, 2, 3)]
    write_text(tmp_path / "train.csv", "\n".join([VINBIG_HEADER, *rows]))
    write_image(tmp_path / "train" / "a.png")
    write_image(tmp_path / "train" / "b.png")
    return tmp_path


@pytest.mark.parametrize(
    ("kwargs", "nodule"),
    [
        ({}, np.nan),
        (dict(min_readers=1), 1),
        (dict(min_readers=3), np.nan),
    ],
)
def test_vinbig_labels_are_votes(vinbig, kwargs, nodule):
    data = otcxr_mm.VinBigCXR(vinbig, classes=("Cardiomegaly", "Nodule/Mass"), **kwargs)
    np.testing.assert_array_equal(data.records.labels, [[1, nodule], [0, 0]])


def test_the_full_vinbig_table(real_data, tmp_path):
    unpack(real_data / "tables" / "vinbigdata-train.csv.gz", tmp_path / "train.csv")
    data = otcxr_mm.VinBigCXR(tmp_path, check_files=False, min_readers=1)
    assert len(data) == 15_000
    # a finding is positive where a row names it: counted another way
    rows = {tuple(line.split(",")[:2]) for line in (tmp_path / "train.csv").read_text().splitlines()[1:]}
    for c, name in enumerate(data.metainfo["classes"]):
        assert data.records.labels[:, c].sum() == sum(found == name for _, found in rows)
    # no reader finds anything in most
    assert (data.records.labels.sum(1) == 0).sum() == 10_606
    strict = otcxr_mm.VinBigCXR(tmp_path, check_files=False).records.labels
    assert (strict == 1).sum() < (data.records.labels == 1).sum()
    assert np.array_equal(strict == 0, data.records.labels == 0)


def test_vindr_votes_in_training_and_consensus_in_the_test(tmp_path):
    train = "image_id,rad_id,Cardiomegaly,Pneumonia,Other disease,No finding\n"
    train += "a,R1,1,1,0,0\na,R2,1,0,0,0\na,R3,0,0,0,0\nb,R1,0,0,0,1\nb,R2,0,0,0,1\nb,R3,0,0,0,1\n"
    write_text(tmp_path / "annotations" / "image_labels_train.csv", train)
    test = "image_id,Cardiomegaly,Pneumonia,Other disease,No finding\nc,0,1,1,0\n"
    write_text(tmp_path / "annotations" / "image_labels_test.csv", test)
    layouts.images(tmp_path, ["train/a.png", "train/b.png", "test/c.png"])
    classes = ("Cardiomegaly", "Pneumonia", "Other diseases", "Tuberculosis")
    data = {split: otcxr_mm.VinDrCXR(tmp_path, split=split, classes=classes) for split in ("train", "test", "all")}
    np.testing.assert_array_equal(data["train"].records.labels, [[1, np.nan, 0, np.nan], [0, 0, 0, np.nan]])
    np.testing.assert_array_equal(data["test"].records.labels, [[0, 1, 1, np.nan]])
    assert data["all"].records.split.tolist() == ["train", "train", "test"]
    assert len(otcxr_mm.VinDrCXR(tmp_path).metainfo["classes"]) == 27


# RSNA ---------------------------------------------------------------------------------------------


@pytest.fixture
def rsna(tmp_path):
    boxes = "patientId,x,y,width,height,Target\na,1,2,3,4,1\na,5,6,7,8,1\nb,,,,,0\nc,,,,,0\n"
    write_text(tmp_path / "stage_2_train_labels.csv", boxes)
    details = "patientId,class\na,Lung Opacity\na,Lung Opacity\nb,Normal\nc,No Lung Opacity / Not Normal\n"
    write_text(tmp_path / "stage_2_detailed_class_info.csv", details)
    layouts.images(tmp_path / "stage_2_train_images", ["a.png", "b.png", "c.png"])
    return tmp_path


def test_rsna_unites_boxes_and_reads_the_detailed_classes(rsna):
    data = otcxr_mm.RSNAPneumonia(rsna)
    np.testing.assert_array_equal(data.records.labels, [[1, 0], [0, 1], [0, 0]])
    assert data.records.patient.tolist() == ["", "", ""]
    (rsna / "stage_2_detailed_class_info.csv").unlink()
    np.testing.assert_array_equal(otcxr_mm.RSNAPneumonia(rsna).records.labels[:, 1], [np.nan] * 3)


def test_rsnas_own_mapping_gives_nihs_patients(rsna):
    entries = [dict(subset_img_id=name, img_id=f"{i:08d}_001.png") for name, i in (("a", 7), ("c", 7), ("z", 1))]
    (rsna / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(entries))
    data = otcxr_mm.RSNAPneumonia(rsna)
    assert data.records.patient.tolist() == ["7", "", "7"]
    assert data.original_of["a"] == "00000007_001"
    (rsna / "pneumonia-challenge-dataset-mappings_2018.json").write_text("{")
    with pytest.raises(ValueError, match="mappings_2018.json: not RSNA's list of images"):
        otcxr_mm.RSNAPneumonia(rsna).full_init()


def test_the_full_rsna_table(real_data, tmp_path):
    unpack(real_data / "tables/kaggle_stage_2_train_labels.csv.zip", tmp_path / "stage_2_train_labels.csv")
    data = otcxr_mm.RSNAPneumonia(tmp_path, check_files=False)
    assert len(data) == 26_684
    assert (data.records.labels[:, 0] == 1).sum() == 6_012
    assert np.isnan(data.records.labels[:, 1]).all()


# SIIM ---------------------------------------------------------------------------------------------


def test_run_lengths_go_down_the_columns_each_from_the_end_of_the_last():
    mask = decode_rle(np.array([1, 2, 3, 1]), side=4)
    # column 0: one pixel free, two inside; then three free: row 3 of column 0, rows 0 and 1 of column 1
    expected = np.zeros((4, 4), np.uint8)
    expected[[1, 2, 2], [0, 0, 1]] = 1
    np.testing.assert_array_equal(mask, expected)
    blob = (np.random.default_rng(0).random((64, 64)) > 0.7).astype(np.uint8)
    np.testing.assert_array_equal(decode_rle(np.array(run_length(blob).split(), int), side=64), blob)


@pytest.fixture
def siim(tmp_path):
    first, second = np.zeros((1024, 1024), np.uint8), np.zeros((1024, 1024), np.uint8)
    first[100:200, 300:400], second[700:900, 1000:] = 1, 1
    rows = [f"1.2.3,{run_length(first)}", f"1.2.3,{run_length(second)}", "1.2.4, -1"]
    write_text(tmp_path / "train-rle.csv", "\n".join(["ImageId, EncodedPixels", *rows]))
    write_image(tmp_path / "dicom-images-train" / "study" / "series" / "1.2.3.png", (256, 256))
    write_image(tmp_path / "dicom-images-train" / "1.2.4.png", (1024, 1024))
    return tmp_path, first | second


def test_siim_labels_and_masks(siim):
    folder, mask = siim
    data = otcxr_mm.SIIMPneumothorax(folder, pipeline=LOAD)
    assert data.records.path.tolist() == ["dicom-images-train/study/series/1.2.3.png", "dicom-images-train/1.2.4.png"]
    np.testing.assert_array_equal(data.records.labels, [[1], [0]])
    np.testing.assert_array_equal(data.get_data_info(0)["gt_masks"], mask[None])
    assert data.get_data_info(1)["gt_masks"].sum() == 0
    small = data[0]["gt_masks"]  # at the size of the converted image
    assert small.shape == (1, 256, 256)
    np.testing.assert_array_equal(small[0, 25:50, 75:100], 1)
    assert small.sum() == mask.sum() / 16
    # a subset keeps the masks of its images
    assert data.get_subset([1]).get_data_info(0)["gt_masks"].sum() == 0


def test_the_full_siim_table_and_a_genuine_image(real_data, tmp_path):
    unpack(real_data / "tables" / "siim-pneumothorax-train-rle.csv.gz", tmp_path / "train-rle.csv")
    data = otcxr_mm.SIIMPneumothorax(tmp_path, check_files=False)
    assert len(data) == 12_047
    assert data.records.labels.sum() == len(data.outlines) == 2_669
    assert sum(len(outlines) for outlines in data.outlines.values()) == 12_954 - (12_047 - 2_669)
    # outlines are compact areas: read along the rows, or turned, they would fall apart
    for idx in np.flatnonzero(data.records.labels[:, 0])[:5].tolist():
        mask = data.get_data_info(idx)["gt_masks"][0]
        assert 100 < mask.sum() < 300_000
        edge = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
        assert edge < 30 * np.sqrt(mask.sum())
        n, _ = cv2.connectedComponents(mask)
        assert n - 1 <= 2 * len(data.outlines[data.records.path[idx]])
    pytest.importorskip("pydicom")
    (tmp_path / "dicom-images-train").symlink_to(real_data / "dicom")
    data = otcxr_mm.SIIMPneumothorax(tmp_path, skip_missing=True, pipeline=LOAD)
    assert len(data) == 1
    assert data[0]["gt_score"].tolist() == [0]
    assert data[0]["img"].shape == data[0]["gt_masks"].shape[1:] == (1024, 1024)


# MedMNIST -----------------------------------------------------------------------------------------


def test_the_genuine_pneumoniamnist(real_data):
    archive = np.load(real_data / "medmnist" / "pneumoniamnist.npz")
    for split, count in (("train", 3882), ("val", 524), ("test", 624)):
        data = otcxr_mm.MedMNISTCXR(real_data / "medmnist", "pneumoniamnist.npz", split=split, pipeline=LOAD)
        assert len(data) == count
        np.testing.assert_array_equal(data.records.labels, archive[f"{split}_labels"])
        np.testing.assert_array_equal(data[17]["img"], archive[f"{split}_images"][17])


# labels and masks of your own ---------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    layouts.images(tmp_path / "img", [f"{name}.png" for name in "abcd"], (40, 48))
    rows = ["a.png,1,train,060Y,M,PA,1,0.0", "b.png,1,train,61,f,AP,0,-1", "c.png,2,test,006M,F,PA,,1.0"]
    rows += ["d.png,3,test,,,,NaN,0"]
    write_text(tmp_path / "t.csv", "\n".join(["path,patient,split,age,sex,view,Mass,Edema", *rows]))
    return tmp_path


def csv_labels(folder, table="t.csv", columns=("Mass", "Edema"), **kwargs):
    return otcxr_mm.CSVLabeledCXR(folder, table, columns, img_prefix="img", **kwargs)


def test_your_own_csv(own):
    data, nan = csv_labels(own), np.nan
    np.testing.assert_array_equal(data.records.labels, [[1, 0], [0, nan], [nan, 1], [nan, 0]])
    np.testing.assert_array_equal(data.records.age, np.float32([60, 61, 0.5, nan]))
    assert data.records.sex.tolist() == ["M", "F", "F", ""]
    assert data.records.view.tolist() == ["PA", "AP", "PA", ""]
    blank = csv_labels(own, columns={"M": "Mass"}, negative=(0, ""), split="test")
    np.testing.assert_array_equal(blank.records.labels, [[0], [nan]])
    assert repr(blank) == "CSVLabeledCXR [test]: 2 images of 2 patients; positives: M 0 of 1 known"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(unknown=["", "nan"]), "t.csv, row 3: '-1' in column 'Edema' is none of .* add it to"),
        (dict(columns="Mass"), "label_columns must be a list of columns, got 'Mass'"),
        (dict(category_column="kind"), r"no column for the category, one of \['kind'\]"),
        (dict(category_column="view", columns=["AP", "LL"]), r"'LL' is in no row of column 'view', which holds \['ap'"),
    ],
)
def test_csv_arguments_that_are_wrong(own, kwargs, message):
    with pytest.raises(ValueError, match=message):
        csv_labels(own, **kwargs)


def test_a_column_of_categories(own):
    write_text(own / "c.csv", "path,found\na.png,Mass|Edema\nb.png,edema \nc.png,None\nd.png,\n")
    data = csv_labels(own, "c.csv", {"M": "Mass", "E": "Edema"}, category_column="found")
    np.testing.assert_array_equal(data.records.labels, [[1, 1], [0, 1], [0, 0], [np.nan, np.nan]])
    assert data.metainfo["classes"] == ("M", "E")


def test_masks_of_several_folders(own):
    left, right = np.zeros((40, 48), np.uint8), np.zeros((40, 48), np.uint8)
    left[:, :20], right[:, 30:] = 255, 1  # both are in use for "inside"
    for name in "abcd":
        for folder, mask in (("left", left), ("right", right)):
            (own / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(own / folder / f"{name}_mask.png"), mask)
    kwargs = dict(img_prefix="img", mask_prefix=dict(left="left", right="right"), mask_suffix="_mask", pipeline=LOAD)
    data = otcxr_mm.CXRSegmentation(own, **kwargs)
    assert data.mask_classes == ("left", "right")
    assert data[2]["gt_masks"].dtype == np.uint8
    np.testing.assert_array_equal(data[2]["gt_masks"], np.stack([left > 0, right > 0]))
    split = otcxr_mm.CXRSegmentation(own, ann_file="t.csv", split="test", **kwargs)
    assert [info["patient_id"] for info in map(split.get_data_info, range(2))] == ["2", "3"]
    (own / "left" / "b_mask.png").unlink()
    rest = otcxr_mm.CXRSegmentation(own, skip_missing=True, **kwargs)
    assert rest.records.path.tolist() == ["img/a.png", "img/c.png", "img/d.png"]
    assert rest[1]["gt_masks"].sum() == (left > 0).sum() + right.sum()
    write_image(own / "right" / "a_mask.png", (20, 24), value=1)
    rest.test_mode = True
    with pytest.raises(ValueError, match="a_mask.png: the masks of this image differ in size"):
        rest[0]


# several sets together ----------------------------------------------------------------------------


def test_sets_of_different_labels_concatenate(nih_folder, vinbig, rsna, siim):
    classes = ("Pneumothorax", "Pleural_Thickening", "Pneumonia")
    sets = [
        otcxr_mm.NIHChestXray14(nih_folder, split="all", classes=classes),
        otcxr_mm.RSNAPneumonia(rsna, classes=list(classes)),
        otcxr_mm.VinBigCXR(vinbig, classes=classes),
        otcxr_mm.SIIMPneumothorax(siim[0], classes=classes),
        otcxr_mm.UnlabeledCXR(rsna / "stage_2_train_images", classes=classes),
    ]
    both = ConcatDataset(sets)
    assert both.metainfo["classes"] == classes
    labels = np.stack([both.get_data_info(i)["gt_score"] for i in range(len(both))])
    nan = np.nan
    np.testing.assert_array_equal(labels[:4], [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(labels[4:7], [[nan, nan, 1], [nan, nan, 0], [nan, nan, 0]])
    # VinBig's 'Pleural thickening' is NIH's 'Pleural_Thickening'
    np.testing.assert_array_equal(labels[7:9], [[0, 0, nan], [0, 0, nan]])
    np.testing.assert_array_equal(labels[9:11], [[1, nan, nan], [0, nan, nan]])
    assert np.isnan(labels[11:]).all()


@pytest.mark.parametrize(
    ("classes", "first", "second"),
    [
        ({"Pleural effusion": "Effusion", "Fracture": "Fracture"}, [1, 0, 0], np.nan),
        ({"Effusion": "Effusion", "Pneumotorax": None}, [1, 0, 0], np.nan),
        ({"Effusion": "", "Hernia": "Hernia"}, [np.nan] * 3, [0, 0, 1]),
        (["Pneumotorax", "Pneumothorax"], [np.nan] * 3, 0),  # a name that is wanted by itself is not a misspelling
    ],
)
def test_classes_are_aligned_by_name(nih_folder, classes, first, second):
    data = otcxr_mm.NIHChestXray14(nih_folder, classes=classes)
    assert data.metainfo["classes"] == tuple(classes)
    expected = np.stack(np.broadcast_arrays(np.float32(first), np.float32(second)), 1)
    np.testing.assert_array_equal(data.records.labels, expected)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["Effusion", "Pneumotorax"], "'Pneumotorax': did you mean 'Pneumothorax'.*'Pneumotorax': None"),
        ({"a": "Effusion", "b": "pneumo_thorax"}, "'pneumo_thorax': did you mean 'Pneumothorax'"),
        (["Effusions"], r"none of the classes \['Effusions'\] is among"),
        (["Mass", "mass"], "a class is named twice"),
    ],
)
def test_classes_that_are_wrong(nih_folder, classes, message):
    with pytest.raises(ValueError, match=message):
        otcxr_mm.NIHChestXray14(nih_folder, classes=classes)


# every folder of real radiographs -----------------------------------------------------------------


def test_every_folder_of_real_radiographs_loads(real_data):
    pytest.importorskip("pydicom")
    xray = dict(positive=["PNEUMONIA"], negative=["NORMAL"], img_prefix="images")
    sets = {
        "nih": otcxr_mm.NIHChestXray14(real_data / "nih", split="all", pipeline=LOAD),
        "kermany": otcxr_mm.CSVLabeledCXR(
            real_data / "kermany", "labels.csv", {"Pneumonia": "label"}, split="test", pipeline=LOAD, **xray
        ),
        "kermany_lungmask": otcxr_mm.CXRSegmentation(
            real_data / "kermany_lungmask",
            mask_prefix={"lungs": "lung_masks"},
            ann_file="labels.csv",
            split="test",
            pipeline=LOAD,
        ),
        "nih_followup": otcxr_mm.NIHChestXray14(
            real_data / "nih_followup", split="train", split_file="patient_split.csv", pipeline=LOAD
        ),
        "dicom": otcxr_mm.UnlabeledCXR(real_data / "dicom", pipeline=LOAD),
        "medmnist": otcxr_mm.MedMNISTCXR(real_data / "medmnist", "pneumoniamnist.npz", pipeline=LOAD),
    }
    assert {path.name for path in real_data.iterdir() if path.is_dir()} - {"tables", "weights"} == set(sets)
    counts = dict(nih=1000, kermany=997, kermany_lungmask=287, nih_followup=6447, dicom=7, medmnist=3882)
    assert {name: len(data) for name, data in sets.items()} == counts
    for data in sets.values():
        data.test_mode = True
        for idx in np.linspace(0, len(data) - 1, 7).astype(int).tolist():
            item = data[idx]
            assert item["img"].ndim == 2
            if "gt_masks" in item:
                assert item["gt_masks"].shape == (1, *item["img"].shape)
                assert 0.05 < item["gt_masks"].mean() < 0.7
