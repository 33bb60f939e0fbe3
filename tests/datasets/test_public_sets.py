"""Parsers of the public collections, against small folders and against the genuine full tables."""

import gzip
import zipfile

import cv2
import numpy as np
import pytest
from mmengine.dataset import ConcatDataset

import otcxr_mm
from otcxr_mm.datasets.collections.siim import decode_rle
from tests.conftest import write_image


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def unpack(source, target):
    """A genuine table as its publisher ships it, out of its archive."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".zip":
        with zipfile.ZipFile(source) as archive:
            target.write_bytes(archive.read(archive.namelist()[0]))
    else:
        target.write_bytes(gzip.decompress(source.read_bytes()))


# VinBigData ---------------------------------------------------------------------------------------

VINBIG = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"


@pytest.fixture
def vinbig(tmp_path):
    """Image a: Cardiomegaly by three readers, one of them twice; Nodule/Mass by one. Image b: nothing."""
    rows = ["a,Cardiomegaly,3,R1,1,1,9,9", "a,Cardiomegaly,3,R1,2,2,9,9", "a,Cardiomegaly,3,R2,1,1,9,9"]
    rows += ["a,Nodule/Mass,8,R2,1,1,2,2", "a,Cardiomegaly,3,R3,1,1,9,9"]
    rows += [f"b,No finding,14,R{r},,,," for r in (1, 2, 3)]
    put(tmp_path / "train.csv", VINBIG + "\n".join(rows) + "\n")
    write_image(tmp_path / "train" / "a.png")
    write_image(tmp_path / "train" / "b.png")
    return tmp_path


def test_vinbig_labels_are_votes(vinbig):
    def labels(**kwargs):
        return otcxr_mm.VinBigCXR(vinbig, classes=("Cardiomegaly", "Nodule/Mass"), **kwargs).records.labels

    np.testing.assert_array_equal(labels(), [[1, np.nan], [0, 0]])
    np.testing.assert_array_equal(labels(disputed="positive"), [[1, 1], [0, 0]])
    np.testing.assert_array_equal(labels(disputed="negative"), [[1, 0], [0, 0]])
    np.testing.assert_array_equal(labels(min_readers=1), [[1, 1], [0, 0]])
    np.testing.assert_array_equal(labels(min_readers=3), [[1, np.nan], [0, 0]])
    data = otcxr_mm.VinBigCXR(vinbig)
    assert data.records.path.tolist() == ["train/a.png", "train/b.png"]
    assert data.records.patient.tolist() == ["", ""]
    assert "of unknown patients (VinBigData publishes no patient id" in repr(data)


def test_vinbig_finds_each_image_once(vinbig):
    write_image(vinbig / "train" / "a.jpg")
    with pytest.raises(ValueError, match=r"train/a.png: a is there as train/a.jpg too: .*img_suffix"):
        otcxr_mm.VinBigCXR(vinbig)
    assert len(otcxr_mm.VinBigCXR(vinbig, img_suffix=".png")) == 2
    (vinbig / "train" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 2 listed images are missing.*train/b.png"):
        otcxr_mm.VinBigCXR(vinbig, img_suffix=".png")
    assert len(otcxr_mm.VinBigCXR(vinbig, img_suffix=".png", skip_missing=True)) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("c,Cardiomegali,3,R1,,,,", "train.csv, row 10: 'Cardiomegali' in column 'class_name'"),
        ("c,Cardiomegaly,4,R1,,,,", "train.csv, row 10: class_id '4' is not that of 'Cardiomegaly', 3"),
        ("b,Cardiomegaly,3,R2,1,1,2,2", "train.csv, row 8: reader R2 finds both something and 'No finding' in b"),
        (",Cardiomegaly,3,R2,1,1,2,2", "train.csv, row 10: nothing in column 'image_id'"),
        ("c,Cardiomegaly,3,,1,1,2,2", "train.csv, row 10: nothing in column 'rad_id'"),
    ],
)
def test_vinbig_rows_that_are_wrong(vinbig, row, message):
    table = vinbig / "train.csv"
    table.write_text(table.read_text() + row + "\n")
    with pytest.raises(ValueError, match=message):
        otcxr_mm.VinBigCXR(vinbig)


def test_vinbig_arguments(vinbig):
    with pytest.raises(ValueError, match="min_readers is 1, 2 or 3, got 4"):
        otcxr_mm.VinBigCXR(vinbig, min_readers=4)
    with pytest.raises(ValueError, match="disputed is one of .*, got 'ignore'"):
        otcxr_mm.VinBigCXR(vinbig, disputed="ignore")


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


# VinDr-CXR ----------------------------------------------------------------------------------------


@pytest.fixture
def vindr(tmp_path):
    train = "image_id,rad_id,Cardiomegaly,Pneumonia,Other disease,No finding\n"
    train += "a,R1,1,1,0,0\na,R2,1,0,0,0\na,R3,0,0,0,0\nb,R1,0,0,0,1\nb,R2,0,0,0,1\nb,R3,0,0,0,1\n"
    put(tmp_path / "annotations" / "image_labels_train.csv", train)
    put(
        tmp_path / "annotations" / "image_labels_test.csv",
        "image_id,Cardiomegaly,Pneumonia,Other disease,No finding\nc,0,1,1,0\n",
    )
    for name in ("train/a", "train/b", "test/c"):
        write_image(tmp_path / f"{name}.png")
    return tmp_path


def test_vindr_votes_in_training_and_consensus_in_the_test(vindr):
    classes = ("Cardiomegaly", "Pneumonia", "Other diseases", "Tuberculosis")
    train = otcxr_mm.VinDrCXR(vindr, classes=classes)
    np.testing.assert_array_equal(train.records.labels, [[1, np.nan, 0, np.nan], [0, 0, 0, np.nan]])
    test = otcxr_mm.VinDrCXR(vindr, split="test", classes=classes)
    np.testing.assert_array_equal(test.records.labels, [[0, 1, 1, np.nan]])
    assert otcxr_mm.VinDrCXR(vindr, split="all").records.split.tolist() == ["train", "train", "test"]
    assert len(train.label_names()) == 27
    with pytest.raises(ValueError, match=r"split must be one of \['train', 'test', 'all'\], got 'val'"):
        otcxr_mm.VinDrCXR(vindr, split="val")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("b,R1,0,0,0,1", "row 8: a second row of reader R1 for b"),
        ("d,R1,2,0,0,1", "row 8: '2' in column 'Cardiomegaly'"),
        ("d,R1,,0,0,1", "row 8: '' in column 'Cardiomegaly'"),
    ],
)
def test_vindr_rows_that_are_wrong(vindr, row, message):
    table = vindr / "annotations" / "image_labels_train.csv"
    table.write_text(table.read_text() + row + "\n")
    with pytest.raises(ValueError, match=f"image_labels_train.csv, {message}"):
        otcxr_mm.VinDrCXR(vindr)


# RSNA ---------------------------------------------------------------------------------------------


@pytest.fixture
def rsna(tmp_path):
    put(
        tmp_path / "stage_2_train_labels.csv",
        "patientId,x,y,width,height,Target\na,1,2,3,4,1\na,5,6,7,8,1\nb,,,,,0\nc,,,,,0\n",
    )
    put(
        tmp_path / "stage_2_detailed_class_info.csv",
        "patientId,class\na,Lung Opacity\na,Lung Opacity\nb,Normal\nc,No Lung Opacity / Not Normal\n",
    )
    put(
        tmp_path / "headers.csv",
        "PatientID,PatientAge,PatientSex,ViewPosition\na,43,F,AP\nb,155,M,PA\n",
    )
    for name in "abc":
        write_image(tmp_path / "stage_2_train_images" / f"{name}.png")
    return tmp_path


def test_rsna_unites_boxes_and_reads_the_detailed_classes(rsna):
    data = otcxr_mm.RSNAPneumonia(rsna, header_file="headers.csv")
    np.testing.assert_array_equal(data.records.labels, [[1, 0], [0, 1], [0, 0]])
    assert data.records.patient.tolist() == ["", "", ""]
    assert "RSNA's patientId is one an image" in repr(data)
    np.testing.assert_array_equal(data.records.age, np.float32([43, np.nan, np.nan]))  # nobody is 155
    assert data.records.sex.tolist() == ["F", "M", ""]
    assert data.records.view.tolist() == ["AP", "PA", ""]
    (rsna / "stage_2_detailed_class_info.csv").unlink()
    np.testing.assert_array_equal(otcxr_mm.RSNAPneumonia(rsna).records.labels[:, 1], [np.nan] * 3)


@pytest.mark.parametrize(
    ("file", "row", "message"),
    [
        ("stage_2_train_labels.csv", "b,1,2,3,4,1", "row 6: Target of b is another one than in row 4"),
        ("stage_2_train_labels.csv", "d,1,2,,4,1", "row 6: Target 1, but '' in column 'width'"),
        ("stage_2_train_labels.csv", "d,1,2,3,4,0", "row 6: Target 0, but '1' in column 'x'"),
        ("stage_2_train_labels.csv", "d,one,2,3,4,1", "row 6: 'one' in column 'x' is not a number"),
        ("stage_2_train_labels.csv", "d,,,,,", "row 6: '' in column 'Target'"),
        ("stage_2_detailed_class_info.csv", "b,Lung Opacity", "row 6: class of b is another one than in row 4"),
        ("stage_2_detailed_class_info.csv", "d,Opacity", "row 6: 'Opacity' in column 'class'"),
    ],
)
def test_rsna_rows_that_are_wrong(rsna, file, row, message):
    (rsna / file).write_text((rsna / file).read_text() + row + "\n")
    with pytest.raises(ValueError, match=f"{file}, {message}"):
        otcxr_mm.RSNAPneumonia(rsna)


def test_rsna_tables_that_contradict_each_other(rsna):
    table = rsna / "stage_2_detailed_class_info.csv"
    table.write_text(table.read_text().replace("b,Normal", "b,Lung Opacity"))
    with pytest.raises(ValueError, match="row 4: 'Lung Opacity' contradicts Target 0 of b"):
        otcxr_mm.RSNAPneumonia(rsna)


def test_the_full_rsna_tables(real_data, tmp_path):
    tables = real_data / "tables"
    unpack(tables / "kaggle_stage_2_train_labels.csv.zip", tmp_path / "stage_2_train_labels.csv")
    unpack(tables / "kaggle_stage_2_train_images_dicom_headers.csv.gz", tmp_path / "headers.csv")
    data = otcxr_mm.RSNAPneumonia(tmp_path, check_files=False, header_file="headers.csv")
    assert len(data) == 26_684
    assert (data.records.labels[:, 0] == 1).sum() == 6_012
    assert np.isnan(data.records.labels[:, 1]).all()
    assert set(data.records.view.tolist()) == {"AP", "PA"}
    assert set(data.records.sex.tolist()) == {"M", "F"}
    assert np.nanmax(data.records.age) <= 120
    frontal = otcxr_mm.RSNAPneumonia(tmp_path, check_files=False, header_file="headers.csv", views=["PA"], sexes=["F"])
    assert len(frontal) == ((data.records.view == "PA") & (data.records.sex == "F")).sum()


# SIIM ---------------------------------------------------------------------------------------------


def encode_rle(mask):
    """SIIM's code of a mask, by a plain walk down its columns."""
    runs, last = [], 0
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    for start, end in edges.reshape(-1, 2).tolist():
        runs += [start - last, end - start]
        last = end
    return runs


def test_run_lengths_go_down_the_columns_each_from_the_end_of_the_last():
    mask = decode_rle(np.array([1, 2, 3, 1]), side=4)
    # column 0: one pixel free, two inside; then three free: row 3 of column 0, rows 0 and 1 of column 1
    expected = np.zeros((4, 4), np.uint8)
    expected[[1, 2, 2], [0, 0, 1]] = 1
    np.testing.assert_array_equal(mask, expected)
    blob = (np.random.default_rng(0).random((64, 64)) > 0.7).astype(np.uint8)
    np.testing.assert_array_equal(decode_rle(np.array(encode_rle(blob)), side=64), blob)


@pytest.fixture
def siim(tmp_path):
    first, second = np.zeros((1024, 1024), np.uint8), np.zeros((1024, 1024), np.uint8)
    first[100:200, 300:400], second[700:900, 1000:] = 1, 1
    rows = [f"1.2.3,{' '.join(map(str, encode_rle(m)))}" for m in (first, second)]
    put(tmp_path / "train-rle.csv", "ImageId, EncodedPixels\n" + "\n".join([*rows, "1.2.4, -1"]) + "\n")
    write_image(tmp_path / "dicom-images-train" / "study" / "series" / "1.2.3.png", (256, 256))
    write_image(tmp_path / "dicom-images-train" / "1.2.4.png", (1024, 1024))
    return tmp_path, first | second


def test_siim_labels_and_masks(siim):
    folder, mask = siim
    data = otcxr_mm.SIIMPneumothorax(folder, pipeline=[dict(type="otcxr_mm.LoadCXR")])
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


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1.2.3,-1", "row 5: -1, but another row has an outline of 1.2.3"),
        ("1.2.5,1 2 3", "row 5: EncodedPixels are pairs of a gap and a length above 0, got 3 numbers"),
        ("1.2.5,1 -2", "row 5: EncodedPixels are pairs"),
        ("1.2.5,1 0", "row 5: EncodedPixels are pairs"),
        ("1.2.5,1 two", "row 5: EncodedPixels are numbers, got '1 two'"),
        ("1.2.5,1048570 7", "row 5: the outline ends at pixel 1048577 of 1048576"),
        ("1.2.5,99999999999999999999 7", "row 5: EncodedPixels are"),
        ("1.2.5,", "row 5: nothing in column 'EncodedPixels'"),
    ],
)
def test_siim_rows_that_are_wrong(siim, row, message):
    table = siim[0] / "train-rle.csv"
    table.write_text(table.read_text() + row + "\n")
    with pytest.raises(ValueError, match=f"train-rle.csv, {message}"):
        otcxr_mm.SIIMPneumothorax(siim[0])


def test_the_full_siim_table(real_data, tmp_path):
    unpack(real_data / "tables" / "siim-pneumothorax-train-rle.csv.gz", tmp_path / "train-rle.csv")
    assert len((tmp_path / "train-rle.csv").read_text().splitlines()) - 1 == 12_954
    data = otcxr_mm.SIIMPneumothorax(tmp_path, check_files=False)
    assert len(data) == 12_047
    assert data.records.labels.sum() == 2_669
    assert sum(len(outlines) for outlines in data.outlines.values()) == 12_954 - (12_047 - 2_669)
    # outlines are compact areas: read along the rows, or turned, they would fall apart
    for idx in np.flatnonzero(data.records.labels[:, 0])[:5].tolist():
        mask = data.get_data_info(idx)["gt_masks"][0]
        assert 100 < mask.sum() < 300_000
        edge = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
        assert edge < 30 * np.sqrt(mask.sum())
        n, _ = cv2.connectedComponents(mask)
        assert n - 1 <= 2 * len(data.outlines[int(data.records.origin[idx])])


def test_the_genuine_siim_image(real_data, tmp_path):
    pytest.importorskip("pydicom")
    unpack(real_data / "tables" / "siim-pneumothorax-train-rle.csv.gz", tmp_path / "train-rle.csv")
    (tmp_path / "dicom-images-train").symlink_to(real_data / "dicom")
    data = otcxr_mm.SIIMPneumothorax(tmp_path, skip_missing=True, pipeline=[dict(type="otcxr_mm.LoadCXR")])
    assert len(data) == 1
    assert data[0]["gt_score"].tolist() == [0]
    assert data[0]["img"].shape == data[0]["gt_masks"].shape[1:] == (1024, 1024)


# MedMNIST -----------------------------------------------------------------------------------------


def test_the_genuine_pneumoniamnist(real_data):
    archive = np.load(real_data / "medmnist" / "pneumoniamnist.npz")
    load = [dict(type="otcxr_mm.LoadCXR")]
    for split, count in (("train", 3882), ("val", 524), ("test", 624)):
        data = otcxr_mm.MedMNISTCXR(real_data / "medmnist", "pneumoniamnist.npz", split=split, pipeline=load)
        assert len(data) == count
        np.testing.assert_array_equal(data.records.labels, archive[f"{split}_labels"])
        np.testing.assert_array_equal(data[17]["img"], archive[f"{split}_images"][17])
    both = otcxr_mm.MedMNISTCXR(real_data / "medmnist", "pneumoniamnist.npz", split="all", pipeline=load)
    assert len(both) == 5030
    np.testing.assert_array_equal(both[3882]["img"], archive["val_images"][0])


def chestmnist(file, n=6, **changed):
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = np.random.default_rng(0).integers(0, 256, (n, 8, 8), np.uint8)
        arrays[f"{split}_labels"] = np.eye(n, 14, dtype=np.uint8)
    np.savez_compressed(file, **{**arrays, **changed})


def test_chestmnist_has_nihs_classes_at_any_size(tmp_path):
    chestmnist(tmp_path / "chestmnist_128.npz")
    data = otcxr_mm.MedMNISTCXR(tmp_path, "chestmnist_128.npz", classes=("Effusion", "Fracture"))
    np.testing.assert_array_equal(data.records.labels[:, 0], [0, 0, 1, 0, 0, 0])
    assert np.isnan(data.records.labels[:, 1]).all()
    assert "MedMNIST names no patients" in repr(data)


def test_npz_that_are_wrong(tmp_path):
    with pytest.raises(ValueError, match=r"ann_file is the npz, chestmnist\*.npz or pneumoniamnist\*.npz"):
        otcxr_mm.MedMNISTCXR(tmp_path, "pathmnist.npz")
    with pytest.raises(FileNotFoundError, match="chestmnist.npz: no such npz"):
        otcxr_mm.MedMNISTCXR(tmp_path, "chestmnist.npz")
    file = tmp_path / "chestmnist.npz"
    for changed, message in (
        ({"train_images": np.zeros((6, 8, 8, 3), np.uint8)}, "train_images are uint8"),
        ({"train_labels": np.zeros((5, 14), np.uint8)}, r"train_labels are \(6, 14\), got \(5, 14\)"),
        ({"train_labels": np.full((6, 14), 2, np.uint8)}, "train_labels are 0 or 1, row 0 is"),
        ({"train_labels": np.full((6, 14), np.nan)}, "train_labels are 0 or 1"),
        ({"train_labels": np.full((6, 14), None, object)}, "damaged, or no npz of MedMNIST"),
    ):
        chestmnist(file, **changed)
        with pytest.raises(ValueError, match=f"chestmnist.npz: {message}"):
            otcxr_mm.MedMNISTCXR(tmp_path, "chestmnist.npz")
    np.savez(file, other=np.zeros(3))
    with pytest.raises(ValueError, match="chestmnist.npz: damaged, or no npz of MedMNIST.*train_images"):
        otcxr_mm.MedMNISTCXR(tmp_path, "chestmnist.npz")
    chestmnist(file)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ValueError, match="chestmnist.npz: damaged"):
        otcxr_mm.MedMNISTCXR(tmp_path, "chestmnist.npz")


# a csv and masks of one's own ---------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    for name in "abcd":
        write_image(tmp_path / "img" / f"{name}.png")
    put(
        tmp_path / "t.csv",
        "path,patient,split,age,sex,view,Mass,Edema\na.png,1,train,060Y,M,PA,1,0.0\nb.png,1,train,61,f,AP,0,-1\n"
        "c.png,2,test,006M,F,PA,,1.0\nd.png,3,test,,,,NaN,0\n",
    )
    return tmp_path


def test_csv_of_ones_own(own):
    data = otcxr_mm.CSVLabeledCXR(own, "t.csv", ("Mass", "Edema"), img_prefix="img")
    nan = np.nan
    np.testing.assert_array_equal(data.records.labels, [[1, 0], [0, nan], [nan, 1], [nan, 0]])
    np.testing.assert_array_equal(data.records.age, np.float32([60, 61, 0.5, nan]))
    assert data.records.sex.tolist() == ["M", "F", "F", ""]
    assert data.records.view.tolist() == ["PA", "AP", "PA", ""]
    assert data.metainfo["classes"] == ("Mass", "Edema")
    blank = otcxr_mm.CSVLabeledCXR(
        own, "t.csv", {"Mass": "Mass"}, img_prefix="img", negative=(0, ""), unknown=("nan", -1), split="test"
    )
    np.testing.assert_array_equal(blank.records.labels, [[0], [nan]])
    assert "Mass 0 of 1 known" in repr(blank)


def test_csv_fields_and_arguments_that_are_wrong(own):
    with pytest.raises(ValueError, match=r"t.csv, row 3: '-1' in column 'Edema' is none of \['1', '0', ''"):
        otcxr_mm.CSVLabeledCXR(own, "t.csv", ["Edema"], img_prefix="img", unknown=["", "nan"])
    with pytest.raises(ValueError, match=r"t.csv: no column for the label, one of \['Oedema'\]"):
        otcxr_mm.CSVLabeledCXR(own, "t.csv", ["Oedema"], img_prefix="img")
    with pytest.raises(ValueError, match="'1.0' is in two of positive, negative and unknown"):
        otcxr_mm.CSVLabeledCXR(own, "t.csv", ["Mass"], negative=["1.0"])
    with pytest.raises(ValueError, match="label_columns must be a list of columns, got 'Mass'"):
        otcxr_mm.CSVLabeledCXR(own, "t.csv", "Mass")
    with pytest.raises(ValueError, match="lists of fields, got 'yes'"):
        otcxr_mm.CSVLabeledCXR(own, "t.csv", ["Mass"], positive="yes")
    put(own / "t.txt", "a.png\n")
    with pytest.raises(ValueError, match="needs a .csv with columns of labels"):
        otcxr_mm.CSVLabeledCXR(own, "t.txt", ["Mass"], img_prefix="img")


def test_csv_with_a_column_of_categories(own):
    rows = "path,found\n" + "".join(
        f"{n}.png,{v}\n" for n, v in zip("abcd", ("Mass|Edema", "edema ", "None", ""), strict=True)
    )
    put(own / "c.csv", rows)
    data = otcxr_mm.CSVLabeledCXR(own, "c.csv", {"M": "Mass", "E": "Edema"}, "found", img_prefix="img")
    nan = np.nan
    np.testing.assert_array_equal(data.records.labels, [[1, 1], [0, 1], [0, 0], [nan, nan]])
    assert data.metainfo["classes"] == ("M", "E")
    with pytest.raises(ValueError, match=r"'Oedema' is in no row of column 'found', which holds \['edema', 'mass'"):
        otcxr_mm.CSVLabeledCXR(own, "c.csv", ["Oedema"], "found", img_prefix="img")
    with pytest.raises(ValueError, match=r"no column for the category, one of \['kind'\]"):
        otcxr_mm.CSVLabeledCXR(own, "c.csv", ["Mass"], "kind", img_prefix="img")


def test_masks_of_several_folders(own):
    left, right = np.zeros((40, 48), np.uint8), np.zeros((40, 48), np.uint8)
    left[:, :20], right[:, 30:] = 255, 1  # both are in use for "inside"
    for name in "abcd":
        (own / "left").mkdir(exist_ok=True), (own / "right").mkdir(exist_ok=True)
        cv2.imwrite(str(own / "left" / f"{name}_mask.png"), left)
        cv2.imwrite(str(own / "right" / f"{name}_mask.png"), right)
    kwargs = dict(img_prefix="img", mask_prefix=dict(left="left", right="right"), mask_suffix="_mask")
    data = otcxr_mm.CXRSegmentation(own, pipeline=[dict(type="otcxr_mm.LoadCXR")], **kwargs)
    assert data.mask_classes == ("left", "right")
    assert data[2]["gt_masks"].dtype == np.uint8
    np.testing.assert_array_equal(data[2]["gt_masks"], np.stack([left > 0, right > 0]))
    split = otcxr_mm.CXRSegmentation(own, ann_file="t.csv", split="test", **kwargs)
    assert [info["patient_id"] for info in map(split.get_data_info, range(2))] == ["2", "3"]
    with pytest.raises(FileNotFoundError, match=r"4 of 4 images have no mask, img/a.png first: there is no a\.\* in"):
        otcxr_mm.CXRSegmentation(own, **{**kwargs, "mask_suffix": ""})
    with pytest.raises(FileNotFoundError, match="none: no such folder of masks"):
        otcxr_mm.CXRSegmentation(own, img_prefix="img", mask_prefix="none")
    (own / "left" / "b_mask.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 4 images have no mask, img/b.png first"):
        otcxr_mm.CXRSegmentation(own, **kwargs)
    rest = otcxr_mm.CXRSegmentation(own, skip_missing=True, pipeline=[dict(type="otcxr_mm.LoadCXR")], **kwargs)
    assert rest.records.path.tolist() == ["img/a.png", "img/c.png", "img/d.png"]
    assert rest[1]["gt_masks"].sum() == (left > 0).sum() + right.sum()


def test_masks_that_are_wrong_are_named(own):
    for name in "abcd":
        write_image(own / "masks" / f"{name}.png", value=255)
    load = [dict(type="otcxr_mm.LoadCXR")]
    data = otcxr_mm.CXRSegmentation(own, img_prefix="img", pipeline=load, test_mode=True)
    write_image(own / "masks" / "a.png")  # noise
    with pytest.raises(ValueError, match="masks/a.png: a mask holds 0 and one other value.*threshold=127"):
        data[0]
    soft = otcxr_mm.CXRSegmentation(own, img_prefix="img", pipeline=load, threshold=127)
    assert 0.4 < soft[0]["gt_masks"].mean() < 0.6
    write_image(own / "masks" / "b.png", (48, 40), value=255)  # turned
    with pytest.raises(ValueError, match="img/b.png: the image has 48 x 40 pixels and its masks 40 x 48"):
        data[1]
    (own / "masks" / "c.png").write_bytes(b"")
    with pytest.raises(ValueError, match="masks/c.png: the file is empty"):
        data[2]


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


def test_a_class_may_have_another_name(nih_folder):
    data = otcxr_mm.NIHChestXray14(nih_folder, classes={"Pleural effusion": "Effusion", "Fracture": "Fracture"})
    assert data.metainfo["classes"] == ("Pleural effusion", "Fracture")
    np.testing.assert_array_equal(data.records.labels[:, 0], [1, 0, 0])


@pytest.mark.parametrize("name", ["Pneumotorax", "pneumo_thorax"])
def test_a_misspelt_class_among_others_is_an_error(nih_folder, name):
    classes = ["Effusion", name]
    with pytest.raises(ValueError, match=f"unknown class '{name}': did you mean 'Pneumothorax'\\?.*'{name}': None"):
        otcxr_mm.NIHChestXray14(nih_folder, classes=classes)
    with pytest.raises(ValueError, match=f"unknown class '{name}': did you mean 'Pneumothorax'"):
        otcxr_mm.NIHChestXray14(nih_folder, classes={"a": "Effusion", "b": name})
    # one that is wanted by itself is not meant
    labels = otcxr_mm.NIHChestXray14(nih_folder, classes=[name, "Pneumothorax"]).records.labels
    assert np.isnan(labels).all(0).tolist() == [True, False]


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_class_that_a_data_set_does_not_have_is_said_with_none(nih_folder, nothing):
    data = otcxr_mm.NIHChestXray14(nih_folder, classes={"Effusion": "Effusion", "Pneumotorax": nothing})
    assert data.metainfo["classes"] == ("Effusion", "Pneumotorax")
    np.testing.assert_array_equal(data.records.labels, [[1, np.nan], [0, np.nan], [0, np.nan]])
    assert np.isnan(otcxr_mm.NIHChestXray14(nih_folder, classes={"Fracture": nothing}).records.labels).all()


def test_classes_that_are_wrong(nih_folder):
    with pytest.raises(ValueError, match=r"unknown class 'Effusions' \(is 'Effusion' meant\?\); none of"):
        otcxr_mm.NIHChestXray14(nih_folder, classes=["Effusions"])
    with pytest.raises(ValueError, match="class 'Mass' is named twice"):
        otcxr_mm.NIHChestXray14(nih_folder, classes=["Mass", "mass"])
    with pytest.raises(ValueError, match="classes is a list of names, got 'Mass'"):
        otcxr_mm.NIHChestXray14(nih_folder, classes="Mass")
    with pytest.raises(ValueError, match=r"classes is a list of names, got \[\]"):
        otcxr_mm.NIHChestXray14(nih_folder, classes=[])


# every folder of real radiographs -----------------------------------------------------------------


def test_every_folder_of_real_radiographs_loads(real_data):
    pytest.importorskip("pydicom")
    load = [dict(type="otcxr_mm.LoadCXR")]
    xray = dict(positive=["PNEUMONIA"], negative=["NORMAL"], img_prefix="images")
    followup = {
        split: otcxr_mm.NIHChestXray14(
            real_data / "nih_followup", split=split, split_file="patient_split.csv", pipeline=load
        )
        for split in ("train", "val", "test")
    }
    assert [len(data) for data in followup.values()] == [6447, 888, 1724]  # 9,059
    assert [len(set(data.records.patient.tolist())) for data in followup.values()] == [1834, 261, 167]  # 2,262
    sets = {
        "nih": otcxr_mm.NIHChestXray14(real_data / "nih", split="all", pipeline=load),
        "kermany": otcxr_mm.CSVLabeledCXR(
            real_data / "kermany", "labels.csv", {"Pneumonia": "label"}, split="test", pipeline=load, **xray
        ),
        "kermany_lungmask": otcxr_mm.CXRSegmentation(
            real_data / "kermany_lungmask",
            mask_prefix={"lungs": "lung_masks"},
            ann_file="labels.csv",
            split="test",
            pipeline=load,
        ),
        "nih_followup": followup["train"],
        "dicom": otcxr_mm.UnlabeledCXR(real_data / "dicom", pipeline=load),
        "medmnist": otcxr_mm.MedMNISTCXR(real_data / "medmnist", "pneumoniamnist.npz", pipeline=load),
    }
    assert {path.name for path in real_data.iterdir() if path.is_dir()} - {"tables", "weights"} == set(sets)
    assert {name: len(data) for name, data in sets.items()} == {
        "nih": 1000,
        "kermany": 997,
        "kermany_lungmask": 287,
        "nih_followup": 6447,
        "dicom": 7,
        "medmnist": 3882,
    }
    for data in sets.values():
        data.test_mode = True
        for idx in np.linspace(0, len(data) - 1, 7).astype(int).tolist():
            item = data[idx]
            assert item["img"].ndim == 2
            if "gt_masks" in item:
                assert item["gt_masks"].shape == (1, *item["img"].shape)
                assert 0.05 < item["gt_masks"].mean() < 0.7
