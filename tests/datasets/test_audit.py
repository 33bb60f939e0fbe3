import csv
import shutil

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmpretrain.datasets import KFoldDataset
from torch.utils.data import Subset, TensorDataset

import otcxr_mm
from otcxr_mm.datasets.audit import audit
from otcxr_mm.datasets.content import _ambiguous, reader
from otcxr_mm.datasets.inspection import build_datasets, leaves
from tests.conftest import write_image


def folder(root, rows, name="table.csv", images=True):
    """A folder with a csv of (path, patient, split)."""
    root.mkdir(exist_ok=True)
    with open(root / name, "w", newline="") as stream:
        csv.writer(stream).writerows([("path", "patient", "split"), *rows])
    for path, *_ in rows if images else ():
        if not (root / path).exists():
            write_image(root / path, (20, 24))
    return root


def unlabeled(root, split="all", name="table.csv", **kwargs):
    return otcxr_mm.UnlabeledCXR(root, ann_file=name, split=split, **kwargs)


def kinds(found):
    return [(o.kind, o.first, o.second, o.names, o.leak) for o in found.overlaps]


class RSNA(otcxr_mm.UnlabeledCXR):
    collection = "RSNA Pneumonia"


def test_a_clean_split_has_no_leak(tmp_path):
    root = folder(tmp_path / "a", [("1.png", "p1", "train"), ("2.png", "p1", "train"), ("3.png", "p2", "test")])
    found = audit({"train": unlabeled(root, "train"), "test": unlabeled(root, "test")}, pixels=True)
    assert not found.overlaps
    assert not found.notes
    found.check()
    assert found.text().endswith("no leak found")
    assert [(s["images"], s["patients"], s["without_id"]) for s in found.sets] == [(2, 1, 0), (1, 1, 0)]


def test_a_shared_patient_is_found_across_tables_of_one_folder_padded_or_not(tmp_path):
    root = folder(tmp_path / "a", [("1.png", "0017", "train"), ("2.png", "2", "train")])
    folder(root, [("3.png", "17", "test"), ("4.png", "17", "test"), ("5.png", "3", "test")], "other.csv")
    found = audit({"train": unlabeled(root), "test": unlabeled(root, "test", "other.csv")})
    assert kinds(found) == [("patients", "train", "test", ("17",), True)]
    assert found.leaks[0].images == (1, 2)
    with pytest.raises(ValueError, match=r"train and test: 1 patients \(1 and 2 images\): 17\n.*split by patient"):
        found.check()
    assert "17" not in found.text()
    assert ": 17" in found.text(show_ids=True)


def test_the_same_id_in_another_folder_is_another_patient_but_said(tmp_path):
    a = folder(tmp_path / "a", [("1.png", "17", "train")])
    b = folder(tmp_path / "b", [("2.png", "17", "test")])
    found = audit({"train": unlabeled(a, "train"), "test": unlabeled(b, "test")})
    assert not found.leaks
    (note,) = found.notes
    assert (
        "ids are from different collections and were not compared (1 are equal: a leak if both come from one source)"
        in note
    )
    assert str(tmp_path) not in found.text()
    assert str(tmp_path) in found.text(show_ids=True)


def test_the_same_id_of_one_published_collection_is_the_same_patient_in_any_folder(nih_folder, tmp_path):
    copy = shutil.copytree(nih_folder, tmp_path / "copy")
    (copy / "train_val_list.txt").write_text("00000003_000.png\n")
    (copy / "test_list.txt").write_text("00000001_000.png\n")
    train, test = otcxr_mm.NIHChestXray14(nih_folder), otcxr_mm.NIHChestXray14(copy, split="test")
    found = audit({"train": train, "test": test})
    assert [leak.kind for leak in found.leaks] == ["patients", "images"]  # the file name is NIH's, too
    assert found.leaks[0].names == ("1",)
    assert found.leaks[0].images == (2, 1)


def test_pretraining_may_not_see_test_patients_of_the_run_after_it(nih_folder):
    own = unlabeled(folder(nih_folder, [("images/00000003_000.png", "00000003", "train")]), "train")
    train, test = (otcxr_mm.NIHChestXray14(nih_folder, split=split) for split in ("train_val", "test"))
    found = audit({"train": train, "test": test, "pretrain/train": own})
    assert [(o.kind, o.first, o.second) for o in found.leaks] == [
        ("patients", "pretrain/train", "test"),
        ("images", "pretrain/train", "test"),
    ]
    # pre-training on the images of training is what it is for, and its own validation is none of the later run
    assert not audit({"train": train, "pretrain/train": train, "pretrain/val": train}).leaks[2:]
    assert not audit({"train": train, "pretrain/val": train}).leaks


def test_validation_images_in_pretraining_are_a_note_and_no_leak(tmp_path):
    rows = [("1.png", "1", "train"), ("2.png", "2", "val"), ("3.png", "2", "val"), ("4.png", "3", "test")]
    root = folder(tmp_path / "a", rows)
    sets = {split: unlabeled(root, split) for split in ("train", "val", "test")}
    folder(root, [(path, patient, "") for path, patient, split in rows if split != "test"], "trainval.csv")
    found = audit({**sets, "pretrain/train": unlabeled(root, name="trainval.csv")})
    found.check()
    assert "pretrain/train and val: 1 patients (2 and 2 images)" in found.notes[0]
    assert "validation figures are optimistic, test figures are not affected" in found.notes[0]
    assert found.text().endswith("no leak found, but pre-training has seen validation data: see the note")
    # with test it is a leak, and within one run both are
    assert [o.second for o in audit({**sets, "pretrain/train": unlabeled(root)}).leaks] == ["test", "test"]
    for role in ("val", "test"):
        assert audit({"train": sets[role], role: sets[role]}).leaks


def test_val_and_test_may_be_one_but_it_is_said(tmp_path):
    root = folder(tmp_path / "a", [("1.png", "1", "train"), ("2.png", "2", "test")])
    test = unlabeled(root, "test")
    found = audit({"train": unlabeled(root, "train"), "val": test, "test": test})
    assert not found.leaks
    assert "shared: val and test: 1 patients (1 and 1 images)" in found.text()


def test_concatenated_and_wrapped_sets_are_looked_into(tmp_path):
    root = folder(tmp_path / "a", [("1.png", "1", "train"), ("2.png", "2", "train"), ("3.png", "3", "test")])
    train, test = unlabeled(root, "train"), unlabeled(root, "test")
    one = dict(type="otcxr_mm.UnlabeledCXR", data_root=str(root), ann_file="table.csv")
    joint = dict(type="ConcatDataset", datasets=[{**one, "split": "train"}, {**one, "split": "test"}])
    joint = RepeatDataset(joint, 3)
    found = audit({"train": joint, "test": test})
    assert kinds(found)[0] == ("patients", "train[1]", "test", ("3",), True)
    assert all(o.first == "train[1]" for o in found.overlaps)  # repeated is not listed twice
    assert len(next(leaves(Subset(train, [1])))) == 1
    assert [len(leaf) for leaf in leaves(Subset(ConcatDataset([train, test]), [1, 2]))] == [1, 1]
    assert not audit({"train": Subset(ConcatDataset([train, test]), [0, 1]), "test": test}).leaks
    assert audit({"train": Subset(ConcatDataset([train, test]), [0, 2]), "test": test}).leaks
    assert len(next(leaves(KFoldDataset({**one, "split": "train"}, num_splits=2)))) == 1
    note = audit({"train": TensorDataset()}).notes[0]
    assert "TensorDataset is not a data set of otcxr_mm and was not audited" in note
    # what balances classes has no more images than the set inside
    labelled = unlabeled(root, "train")
    labelled.full_init()
    labelled.records.labels = np.eye(2, dtype=np.float32)
    assert [len(leaf) for leaf in leaves(ClassBalancedDataset(labelled, oversample_thr=0.9))] == [2]


def test_images_listed_twice_are_reported(tmp_path):
    root = folder(tmp_path / "a", [("1.png", "1", "train"), ("2.png", "2", "train")])
    data = unlabeled(root).get_subset([0, 0, 1])
    found = audit({"train": data})
    assert [(o.kind, o.first, o.second, o.leak) for o in found.overlaps] == [("images", "train", "train", False)]
    assert "train: 1 image files listed more than once" in found.text()
    again = audit({"train": ConcatDataset([data, data])})
    assert "shared: train[0] and train[1]: 2 image files (3 and 3 images)" in again.text()


def test_a_linked_folder_holds_the_same_files(tmp_path):
    root = folder(tmp_path / "a", [("images/1.png", "", "train"), ("images/2.png", "", "test")])
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "linked").symlink_to(root / "images")
    found = audit({"train": otcxr_mm.UnlabeledCXR(tmp_path / "b"), "test": unlabeled(root, "test")})
    assert [(o.kind, o.names) for o in found.leaks] == [("images", (str(root / "images/2.png"),))]
    assert [note for note in found.notes if "shared patients cannot be ruled out" in note] == [
        "train: no patient id: shared patients cannot be ruled out",
        "test: no patient id: shared patients cannot be ruled out",
    ]


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_linked_file_is_the_same_file(tmp_path, link):
    root = folder(tmp_path / "a", [("1.png", "", "train"), ("2.png", "", "test")])
    (tmp_path / "b").mkdir()
    for name, target in (("x.png", "2.png"), ("y.png", "1.png")):
        getattr(tmp_path / "b" / name, link)(root / target)
    train, test = otcxr_mm.UnlabeledCXR(tmp_path / "b"), unlabeled(root, "test")
    for pixels in (False, "decoded"):
        found = audit({"train": train, "test": test}, pixels)
        assert kinds(found) == [("images", "train", "test", (str(root / "2.png"),), True)]


def test_ids_are_compared_if_one_root_is_inside_the_other(tmp_path):
    scans = folder(tmp_path / "scans", [("images/1.png", "P1", ""), ("images/2.png", "P2", "")])
    inner = folder(scans / "images", [("3.png", "p1", ""), ("4.png", "P3", "")])
    other = folder(tmp_path / "scans2", [("5.png", "P1", "")])
    (tmp_path / "link").symlink_to(scans)
    for outer in (scans, tmp_path / "link"):
        for train, test in ((outer, inner), (inner, outer)):
            found = audit({"train": unlabeled(train), "test": unlabeled(test)})
            assert kinds(found) == [("patients", "train", "test", ("p1",), True)]
            assert not found.notes
    # two folders inside a third are not inside each other
    deep = folder(scans / "more", [("6.png", "P1", "")])
    for train, test in ((deep, inner), (scans, other)):
        found = audit({"pretrain/train": unlabeled(scans), "train": unlabeled(train), "test": unlabeled(test)})
        assert not [leak for leak in found.leaks if leak.first == "train"]


@pytest.mark.parametrize("pixels", [True, "decoded", "bytes"])
def test_identical_content_under_another_name(tmp_path, pixels):
    a = folder(tmp_path / "a", [(f"{i}.png", f"p{i}", "train") for i in range(4)])
    b = folder(tmp_path / "b", [(f"{i}.png", f"q{i}", "test") for i in range(4)])
    shutil.copy(a / "1.png", b / "2.png")  # the same bytes
    img = cv2.imread(str(a / "3.png"), cv2.IMREAD_UNCHANGED)
    assert cv2.imwrite(str(b / "0.png"), img, [cv2.IMWRITE_PNG_COMPRESSION, 0])  # the same pixels, other bytes
    shutil.copy(a / "0.png", a / "2.png")
    found = audit({"test": unlabeled(b), "train": unlabeled(a)}, pixels=pixels)
    pairs = [f"{a}/1.png = {b}/2.png"]
    if pixels != "bytes":
        pairs.append(f"{a}/3.png = {b}/0.png")
    assert kinds(found) == [
        ("pixels", "train", "test", tuple(pairs), True),
        ("pixels", "train", "train", (f"{a}/0.png = {a}/2.png",), False),
    ]
    assert not audit({"test": unlabeled(b), "train": unlabeled(a)}).overlaps


def test_the_same_file_is_not_said_to_be_another_one(tmp_path):
    root = folder(tmp_path / "a", [("1.png", "1", ""), ("2.png", "2", "")])
    data = unlabeled(root)
    for pixels in ("decoded", "bytes"):
        found = audit({"train": data, "test": unlabeled(root)}, pixels=pixels)
        assert [o.kind for o in found.overlaps] == ["patients", "images"]


def test_where_the_size_of_an_image_is_not_known_all_are_read():
    shapes = {"b": (8, 8), "c": (8, 8), "d": (8, 9)}
    assert _ambiguous(shapes) == ["b", "c"]
    assert _ambiguous({"a": None, **shapes}) == ["a", "b", "c", "d"]


def test_a_dicom_and_its_copy_as_png_have_the_same_pixels(tmp_path):
    pytest.importorskip("pydicom")
    from tests.datasets.dicoms import write_dicom

    img = np.random.default_rng(0).integers(0, 256, (20, 24), np.uint8)
    (tmp_path / "a").mkdir()
    write_dicom(tmp_path / "a" / "x.dcm", img)
    b = folder(tmp_path / "b", [("2.png", "", "")])
    train, test = otcxr_mm.UnlabeledCXR(tmp_path / "a"), unlabeled(b)
    train.full_init()
    assert cv2.imwrite(str(b / "2.png"), np.rint(reader(train)(0)).astype(np.uint8))
    assert [o.kind for o in audit({"train": train, "test": test}, True).leaks] == ["pixels"]


@pytest.mark.parametrize("pixels", ["decoded", "bytes"])
def test_a_broken_file_is_a_note(tmp_path, pixels):
    a = folder(tmp_path / "a", [(f"{i}.png", "", "train") for i in range(3)])
    b = folder(tmp_path / "b", [("x.png", "", "test")])
    shutil.copy(a / "1.png", b / "x.png")
    train = unlabeled(a)
    train.full_init()
    if pixels == "bytes":
        (a / "0.png").unlink()
        (a / "0.png").symlink_to(a / "nowhere")
    else:
        (a / "0.png").write_bytes((a / "0.png").read_bytes()[:60])
    found = audit({"train": train, "test": unlabeled(b)}, pixels)
    assert [(o.kind, o.names) for o in found.leaks] == [("pixels", (f"{a}/1.png = {b}/x.png",))]
    assert "train: 1 of 3 images cannot be read and were not compared" in found.notes


def test_colour_and_transparency_do_not_hide_an_image(tmp_path):
    a = folder(tmp_path / "a", [("1.png", "", "")])
    b = folder(tmp_path / "b", [("2.png", "", ""), ("3.png", "", "")])
    img = cv2.imread(str(a / "1.png"), cv2.IMREAD_UNCHANGED)
    assert cv2.imwrite(str(b / "2.png"), cv2.cvtColor(img, cv2.COLOR_GRAY2BGRA))
    assert [o.kind for o in audit({"train": unlabeled(a), "test": unlabeled(b)}, True).leaks] == ["pixels"]


def test_packed_images_are_compared_over_their_pixels_and_with_files_resized_alike(tmp_path):
    rows = [(f"{i}.png", f"p{i}", "train") for i in range(3)]
    a = folder(tmp_path / "a", rows)
    b = folder(tmp_path / "b", [("x.png", "q", "test"), ("y.png", "r", "test")])
    shutil.copy(a / "1.png", b / "y.png")
    otcxr_mm.pack_images(a, [r[0] for r in rows], tmp_path / "packed_a", 12)
    otcxr_mm.pack_images(b, ["x.png", "y.png"], tmp_path / "packed_b", 12)
    otcxr_mm.pack_images(b, ["x.png", "y.png"], tmp_path / "packed_c", 14)
    train = unlabeled(a, packed=str(tmp_path / "packed_a"))
    wanted = ("pixels", "train", "test", (f"{a}/1.png = {b}/y.png",), True)
    for test in (unlabeled(b), unlabeled(b, packed=str(tmp_path / "packed_b"))):
        assert kinds(audit({"train": train, "test": test}, pixels=True)) == [wanted]
    found = audit({"train": train, "test": unlabeled(b, packed=str(tmp_path / "packed_c"))}, pixels=True)
    assert not found.overlaps
    assert "train and test: packed at different sizes (12 and 14), pixels were not compared" in found.notes
    assert "packed, no files to compare" in audit({"train": train, "test": unlabeled(b)}, pixels="bytes").text()


def test_packed_images_of_other_depths_are_compared(tmp_path):
    a = folder(tmp_path / "a", [("1.png", "p", "train"), ("2.png", "q", "train")])
    b = folder(tmp_path / "b", [("x.png", "r", "test"), ("y.png", "s", "test")])
    shutil.copy(a / "1.png", b / "y.png")
    otcxr_mm.pack_images(a, ["1.png", "2.png"], tmp_path / "deep", 12, depth=16)
    otcxr_mm.pack_images(b, ["x.png", "y.png"], tmp_path / "deep_b", 12, depth=16)
    otcxr_mm.pack_images(b, ["x.png", "y.png"], tmp_path / "flat_b", 12)
    train = unlabeled(a, packed=str(tmp_path / "deep"))
    wanted = ("pixels", "train", "test", (f"{a}/1.png = {b}/y.png",), True)
    note = "train and test: packed with 16 and 8 bits, pixels were compared at 8 bits: "
    for packed in (None, "deep_b", "flat_b"):
        test = unlabeled(b, packed=packed and str(tmp_path / packed))
        found = audit({"train": train, "test": test}, pixels=True)
        assert kinds(found) == [wanted]
        assert (note in found.text()) == (packed == "flat_b")


def test_packed_images_whose_files_are_gone(tmp_path):
    a = folder(tmp_path / "a", [("1.png", "", "train"), ("2.png", "", "train")])
    otcxr_mm.pack_images(a, ["1.png", "2.png"], tmp_path / "packed", 12)
    (a / "1.png").unlink()
    (a / "2.png").unlink()
    data = unlabeled(a, packed=str(tmp_path / "packed"))
    found = audit({"train": data, "test": data.get_subset([1])})
    assert [(o.kind, len(o.names)) for o in found.leaks] == [("images", 1)]


def test_synthetic_patients_of_two_seeds_are_not_the_same(tmp_path):
    def make(seed, split):
        return otcxr_mm.SyntheticCXR(tmp_path, patients=10, size=32, seed=seed, split=split)

    assert not audit({"train": make(0, "train"), "test": make(1, "train")}, pixels=True).leaks
    assert audit({"train": make(0, "train"), "test": make(0, "train")}).leaks
    assert not audit({"train": make(0, "train"), "test": make(0, "test")}, pixels=True).leaks


def test_rsna_comes_from_nih_which_is_a_leak_only_if_it_is_shown(nih_folder, tmp_path):
    rsna = folder(tmp_path / "rsna", [("aaaa.png", "", ""), ("bbbb.png", "", "")])
    data = {"train": otcxr_mm.NIHChestXray14(nih_folder), "test": RSNA(rsna)}
    found = audit(data)
    assert not found.leaks
    (known,) = [note for note in found.notes if "come, as far as is known, from NIH ChestX-ray14" in note]
    assert "2 of test" in known
    assert not audit({"train": otcxr_mm.UnlabeledCXR(tmp_path / "rsna"), "test": RSNA(rsna)}).notes[2:]

    origins = tmp_path / "origins.csv"
    origins.write_text("image,original\naaaa,00000003_000.png\nbbbb,00000001_007.png\n")
    found = audit(data, origins=origins)
    # of the second, NIH's patient 1, another image is in training
    assert kinds(found) == [("patients", "train", "test", ("1",), True)]
    assert "all were compared by their originals" in found.text()
    origins.write_text("image,original\naaaa.png,00000003_000.png\nbbbb.png,images/00000001_001.png\n")
    assert [o.kind for o in audit(data, origins=origins).leaks] == ["patients", "images"]
    origins.write_text("image,nih\na,b\n")
    with pytest.raises(ValueError, match="no column 'original'"):
        audit(data, origins=origins)


def test_image_ids_of_a_collection_are_compared_in_any_folder_and_format(tmp_path):
    """RSNA as DICOM here, as PNG there."""
    a = folder(tmp_path / "a", [("x/aaaa.dcm", "", "")], images=False)
    b = folder(tmp_path / "b", [("aaaa.png", "", ""), ("bbbb.png", "", "")])
    found = audit({"train": RSNA(a, ann_file="table.csv", check_files=False), "test": RSNA(b)})
    assert [(o.kind, o.names) for o in found.leaks] == [("images", (f"{b}/aaaa.png",))]
    assert not audit({"train": unlabeled(a, check_files=False), "test": unlabeled(b)}).leaks


def test_padded_zeros_are_one_patient_zero(tmp_path):
    root = folder(tmp_path / "a", [("1.png", "0", "train")])
    folder(root, [("2.png", "000", "test")], "other.csv")
    assert [o.names for o in audit({"train": unlabeled(root), "test": unlabeled(root, name="other.csv")}).leaks] == [
        ("0",)
    ]


def medmnist(root, name, classes, seed):
    root.mkdir(exist_ok=True)
    draws = np.random.default_rng(seed)
    arrays = {f"{split}_images": draws.integers(0, 256, (3, 8, 8), np.uint8) for split in ("train", "val", "test")}
    labels = {f"{split}_labels": np.zeros((3, classes), np.uint8) for split in ("train", "val", "test")}
    np.savez(root / name, **arrays, **labels)
    return root


def test_chestmnist_is_made_of_nih(nih_folder, tmp_path):
    root = medmnist(tmp_path / "m", "chestmnist.npz", 14, 0)
    test = otcxr_mm.MedMNISTCXR(root, "chestmnist.npz", split="test")
    assert test.collection == "ChestMNIST"
    data = {"train": otcxr_mm.NIHChestXray14(nih_folder), "test": test}
    assert "images of ChestMNIST come, as far as is known, from NIH ChestX-ray14" in audit(data).text()
    origins = tmp_path / "origins.csv"
    # of the image of that number in training nothing follows
    origins.write_text("image,original\ntrain/000001,00000001_000.png\n")
    assert not audit(data, origins=origins).leaks
    origins.write_text("image,original\ntest/000001,00000001_000.png\n")
    assert [(o.kind, o.images[1]) for o in audit(data, origins=origins).leaks] == [("patients", 1), ("images", 1)]


def test_images_of_medmnist_are_known_by_split_and_number(tmp_path):
    def make(name, file, split, seed=0, classes=14):
        return otcxr_mm.MedMNISTCXR(medmnist(tmp_path / name, file, classes, seed), file, split=split)

    train = make("a", "chestmnist.npz", "train")
    assert not audit({"train": train, "test": make("a", "chestmnist.npz", "test")}, pixels=True).leaks
    (leak,) = audit({"train": train, "test": make("b", "chestmnist_64.npz", "train", seed=1)}, pixels=True).leaks
    assert (leak.kind, leak.images) == ("images", (3, 3))
    assert not audit({"train": train, "test": make("b", "pneumoniamnist.npz", "train", 2, 1)}).leaks
    # one array stored twice has the same pixels
    again = make("c", "chestmnist.npz", "test")
    again.images["test"] = train.images["train"]
    assert [o.kind for o in audit({"train": train, "test": again}, pixels=True).leaks] == ["pixels"]


def test_pneumoniamnist_is_made_of_kermanys_radiographs(tmp_path):
    own = folder(tmp_path / "a", [("1.png", "", "")])
    test = otcxr_mm.MedMNISTCXR(
        medmnist(tmp_path / "m", "pneumoniamnist.npz", 1, 0), "pneumoniamnist.npz", split="test"
    )
    assert test.collection == "PneumoniaMNIST"
    text = audit({"train": unlabeled(own), "test": test}).text()
    assert "images of PneumoniaMNIST come, as far as is known, from Kermany's radiographs of children" in text


def test_vinbigdata_and_vindr_are_one_source(tmp_path):
    class VinBig(otcxr_mm.UnlabeledCXR):
        collection = otcxr_mm.VinBigCXR.collection

    class VinDr(otcxr_mm.UnlabeledCXR):
        collection = otcxr_mm.VinDrCXR.collection

    a = folder(tmp_path / "a", [("aaaa.png", "", "")])
    b = folder(tmp_path / "b", [("bbbb.png", "", "")])
    found = audit({"train": VinBig(a), "test": VinDr(b)})
    assert not found.leaks
    assert "images of VinBigData come, as far as is known, from VinDr-CXR: the same patients may" in found.text()
    write_image(b / "aaaa.jpg", (20, 24))
    assert [o.names for o in audit({"train": VinBig(a), "test": VinDr(b)}).leaks] == [(f"{b}/aaaa.jpg",)]


def test_names_end_after_ten(tmp_path):
    rows = [(f"{i}.png", f"p{i:02d}", "all") for i in range(12)]
    data = unlabeled(folder(tmp_path / "a", rows))
    text = audit({"train": data, "test": data}).leaks[0].describe(show_ids=True)
    assert "p09, and 2 more" in text
    assert "p10" not in text


def test_wrong_arguments(tmp_path):
    data = unlabeled(folder(tmp_path / "a", [("1.png", "1", "")]))
    with pytest.raises(ValueError, match="a split must be one of .*, got 'nih'"):
        audit({"nih": data})
    with pytest.raises(ValueError, match="pixels must be one of .*, got 'sha'"):
        audit({"train": data}, pixels="sha")


def test_equal_configs_are_built_once(nih_folder):
    dataset = dict(type="otcxr_mm.NIHChestXray14", data_root=str(nih_folder), split="test")
    cfg = Config(dict(val_dataloader=dict(dataset=dataset), test_dataloader=dict(dataset=dataset)))
    built = build_datasets(cfg, "pretrain/")
    assert list(built) == ["pretrain/val", "pretrain/test"]
    assert built["pretrain/val"] is built["pretrain/test"]


def test_real_radiographs(real_data):
    """NIH's official lists hold no leak; the one pair of identical images is one patient's."""
    train, test = (otcxr_mm.NIHChestXray14(real_data / "nih", split=split) for split in ("train_val", "test"))
    for pixels in (True, "bytes"):
        found = audit({"train": train, "test": test}, pixels=pixels)
        assert not found.leaks
        (pair,) = found.overlaps
        assert [name.split("/")[-1] for name in pair.names[0].split(" = ")] == ["00002658_001.png", "00002658_002.png"]
    own = otcxr_mm.UnlabeledCXR(real_data / "nih", ann_file="patient_split.csv", img_prefix="images", split="train")
    leaks = audit({"pretrain/train": own, "test": test}).leaks
    assert {leak.kind for leak in leaks} == {"patients", "images"}
    assert leaks[1].images[1] == len(set(own.records.path) & set(test.records.path))


def test_real_images_stored_twice_under_other_names(real_data):
    split = dict(ann_file="labels.csv", img_prefix="images")
    parts = {
        role: otcxr_mm.UnlabeledCXR(real_data / "kermany", split=role, **split) for role in ("train", "val", "test")
    }
    found = audit(parts, pixels="bytes")
    assert not found.leaks
    within = {o.first: o.names for o in found.overlaps}
    assert sum(map(len, within.values())) == 26  # in 24 groups, two of them of three
    by_image = np.arange(len(parts["train"])) % 2
    halves = {
        role: parts["train"].get_subset(np.flatnonzero(by_image == k)) for k, role in enumerate(("train", "test"))
    }
    found = audit(halves, pixels="bytes")
    assert {leak.kind for leak in found.leaks} == {"patients", "pixels"}
