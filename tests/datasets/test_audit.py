import csv
import shutil

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmpretrain.datasets import KFoldDataset
from torch.utils.data import Subset, TensorDataset

import otcxr_mm
from otcxr_mm.datasets.audit import audit
from otcxr_mm.datasets.inspection import build_datasets, build_untrusted, leaves
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


def found_in(train, test, **kwargs):
    return audit({"train": train, "test": test}, **kwargs)


def leaks(found):
    return [(leak.kind, *leak.names) for leak in found.leaks]


def collection(name):
    return type("Published", (otcxr_mm.UnlabeledCXR,), {"collection": name})


def test_a_clean_split_has_no_leak(tmp_path):
    root = folder(tmp_path / "a", [("1.png", "p1", "train"), ("2.png", "p1", "train"), ("3.png", "p2", "test")])
    found = found_in(unlabeled(root, "train"), unlabeled(root, "test"), pixels=True)
    found.check()
    assert not found.overlaps + found.notes
    assert found.text().endswith("no leak found")
    assert [(s["images"], s["patients"], s["without_id"]) for s in found.sets] == [(2, 1, 0), (1, 1, 0)]


def test_a_shared_patient_is_found_across_tables_and_spellings_of_one_folder(tmp_path):
    root = folder(tmp_path / "a", [("1.png", "0017", "train"), ("2.png", "2", "train")])
    folder(root, [("3.png", "17", "test"), ("4.png", "17", "test"), ("5.png", "3", "test")], "other.csv")
    found = found_in(unlabeled(root), unlabeled(root, "test", "other.csv"))
    assert leaks(found) == [("patients", "17")]
    with pytest.raises(ValueError, match=r"train and test: 1 patients \(1 and 2 images\)\n.*split by patient"):
        found.check()
    assert "17" not in found.text()
    assert ": 17" in found.text(show_ids=True)


def test_the_same_id_in_another_folder_is_another_patient_but_noted(tmp_path):
    a = folder(tmp_path / "a", [("1.png", "17", "train")])
    b = folder(tmp_path / "b", [("2.png", "17", "test")])
    found = found_in(unlabeled(a), unlabeled(b))
    assert not found.leaks
    assert "were not compared (1 are equal: a leak if both come from one source)" in found.notes[0]
    assert str(tmp_path) not in found.text()
    assert str(tmp_path) in found.text(show_ids=True)


def test_the_same_id_of_one_published_collection_is_the_same_patient_in_any_folder(nih_folder, tmp_path):
    copy = shutil.copytree(nih_folder, tmp_path / "copy")
    (copy / "train_val_list.txt").write_text("00000003_000.png\n")
    (copy / "test_list.txt").write_text("00000001_000.png\n")
    found = found_in(otcxr_mm.NIHChestXray14(nih_folder), otcxr_mm.NIHChestXray14(copy, split="test"))
    # the file name is NIH's, too
    assert leaks(found) == [("patients", "1"), ("images", str(copy / "images/00000001_000.png"))]
    assert found.leaks[0].images == (2, 1)


def test_ids_are_compared_if_one_root_is_inside_the_other(tmp_path):
    scans = folder(tmp_path / "scans", [("images/1.png", "P1", ""), ("images/2.png", "P2", "")])
    inner = folder(scans / "images", [("3.png", "p1", ""), ("4.png", "P3", "")])
    (tmp_path / "link").symlink_to(scans)
    for outer in (scans, tmp_path / "link"):
        for train, test in ((outer, inner), (inner, outer)):
            found = found_in(unlabeled(train), unlabeled(test))
            assert leaks(found) == [("patients", "p1")]
            assert not found.notes
    # neither two folders inside a third nor two whose names begin alike are inside each other
    beside = folder(scans / "more", [("6.png", "P1", "")]), folder(tmp_path / "scans2", [("5.png", "P1", "")])
    for train, test in zip(beside, (inner, scans), strict=True):
        found = audit({"pretrain/train": unlabeled(scans), "train": unlabeled(train), "test": unlabeled(test)})
        assert not [leak for leak in found.leaks if leak.first == "train"]


def test_pretraining_shares_no_patient_with_test_but_may_with_train(nih_folder):
    own = unlabeled(folder(nih_folder, [("images/00000003_000.png", "00000003", "train")]))
    train, test = (otcxr_mm.NIHChestXray14(nih_folder, split=split) for split in ("train_val", "test"))
    found = audit({"train": train, "test": test, "pretrain/train": own})
    assert [(o.kind, o.first) for o in found.leaks] == [("patients", "pretrain/train"), ("images", "pretrain/train")]
    # the validation of the pre-training is not that of the later run
    assert not audit({"train": train, "pretrain/val": train}).leaks
    assert audit({"pretrain/train": train, "pretrain/val": train}).leaks


def test_validation_images_in_pretraining_are_a_note_and_no_leak(tmp_path):
    rows = [("1.png", "1", "train"), ("2.png", "2", "val"), ("3.png", "2", "val"), ("4.png", "3", "test")]
    root = folder(tmp_path / "a", rows)
    sets = {split: unlabeled(root, split) for split in ("train", "val", "test")}
    folder(root, [(path, patient, "") for path, patient, split in rows if split != "test"], "trainval.csv")
    found = audit({**sets, "pretrain/train": unlabeled(root, name="trainval.csv")})
    assert not found.leaks
    assert "pretrain/train and val: 1 patients (2 and 2 images)" in found.notes[0]
    assert "validation figures are optimistic, test figures are not affected" in found.notes[0]
    # within one run it is a leak
    assert audit({"train": sets["val"], "val": sets["val"]}).leaks


def test_what_val_and_test_share_is_reported_and_no_leak(tmp_path):
    test = unlabeled(folder(tmp_path / "a", [(f"{i}.png", f"p{i:02d}", "test") for i in range(12)]))
    found = audit({"val": test, "test": test})
    assert not found.leaks
    assert "shared: val and test: 12 patients (12 and 12 images)\n" in found.text()
    # names end after ten
    assert "p09, ...\n" in found.text(show_ids=True)
    with pytest.raises(ValueError, match="a split must be one of .*, got 'nih'"):
        audit({"nih": test})


def test_wrapped_sets_are_looked_into(tmp_path):
    root = folder(tmp_path / "a", [("1.png", "1", "train"), ("2.png", "2", "train"), ("3.png", "3", "test")])
    train, test = unlabeled(root, "train"), unlabeled(root, "test")
    one = dict(type="otcxr_mm.UnlabeledCXR", data_root=str(root), ann_file="table.csv")
    joint = dict(type="ConcatDataset", datasets=[{**one, "split": "train"}, {**one, "split": "test"}])
    found = found_in(RepeatDataset(joint, 3), test)
    assert {(o.first, o.second, o.images) for o in found.overlaps} == {("train[1]", "test", (1, 1))}
    assert not found_in(Subset(ConcatDataset([train, test]), [0, 1]), test).leaks
    assert found_in(Subset(ConcatDataset([train, test]), [0, 2]), test).leaks
    assert len(next(leaves(KFoldDataset({**one, "split": "train"}, num_splits=2)))) == 1
    assert "TensorDataset is not a data set of otcxr_mm" in audit({"train": TensorDataset()}).notes[0]


def test_a_linked_folder_holds_the_same_files(tmp_path):
    root = folder(tmp_path / "a", [("images/1.png", "", "train"), ("images/2.png", "", "test")])
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "linked").symlink_to(root / "images")
    found = found_in(otcxr_mm.UnlabeledCXR(tmp_path / "b"), unlabeled(root, "test"))
    assert leaks(found) == [("images", str(root / "images/2.png"))]
    assert found.notes[0] == "train: no patient id: shared patients cannot be ruled out"


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_linked_file_is_the_same_file_and_not_a_copy(tmp_path, link):
    root = folder(tmp_path / "a", [("1.png", "", "train"), ("2.png", "", "test")])
    (tmp_path / "b").mkdir()
    for name, target in (("x.png", "2.png"), ("y.png", "1.png")):
        getattr(tmp_path / "b" / name, link)(root / target)
    found = found_in(otcxr_mm.UnlabeledCXR(tmp_path / "b"), unlabeled(root, "test"), pixels=True)
    assert [(o.kind, o.names) for o in found.overlaps] == [("images", (str(root / "2.png"),))]


def test_packed_images_are_the_same_without_their_files(tmp_path):
    a = folder(tmp_path / "a", [("1.png", "", "train"), ("2.png", "", "train")])
    otcxr_mm.pack_images(a, ["1.png", "2.png"], tmp_path / "packed", 12)
    (a / "2.png").unlink()
    data = unlabeled(a, packed=str(tmp_path / "packed"))
    assert leaks(found_in(data, data.get_subset([1]))) == [("images", str(a / "2.png"))]


def test_copies_are_found_by_their_pixels(tmp_path):
    """Under other names, compressed in another way, or as colour with transparency; a broken file is a note."""
    a = folder(tmp_path / "a", [(f"{i}.png", f"p{i}", "train") for i in range(4)])
    b = folder(tmp_path / "b", [(f"{i}.png", f"q{i}", "test") for i in range(4)])
    for i in (1, 2, 3):
        img = cv2.imread(str(a / f"{i}.png"), 0)
        img = cv2.cvtColor(img, cv2.COLOR_GRAY2BGRA) if i == 3 else img
        assert cv2.imwrite(str(b / f"{i - 1}.png"), img, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    (a / "0.png").write_bytes((a / "0.png").read_bytes()[:60])
    found = audit({"test": unlabeled(b), "train": unlabeled(a)}, pixels=True)
    assert leaks(found) == [("pixels", *(f"{a}/{i}.png = {b}/{i - 1}.png" for i in (1, 2, 3)))]
    assert "train: 1 of 4 images cannot be read and were not compared" in found.notes
    assert not found_in(unlabeled(a), unlabeled(b)).overlaps


def test_packed_images_are_compared_with_others_of_the_same_size(tmp_path):
    a = folder(tmp_path / "a", [("1.png", "p", "train"), ("2.png", "q", "train")])
    b = folder(tmp_path / "b", [("x.png", "r", "test"), ("y.png", "s", "test")])
    shutil.copy(a / "1.png", b / "y.png")
    otcxr_mm.pack_images(a, ["1.png", "2.png"], tmp_path / "a12", 12)
    otcxr_mm.pack_images(b, ["x.png", "y.png"], tmp_path / "b12", 12, depth=16)
    otcxr_mm.pack_images(b, ["x.png", "y.png"], tmp_path / "b14", 14)
    train = unlabeled(a, packed=str(tmp_path / "a12"))
    found = found_in(train, unlabeled(b, packed=str(tmp_path / "b12")), pixels=True)
    assert leaks(found) == [("pixels", f"{a}/1.png = {b}/y.png")]
    assert not found.notes[1:]
    for packed, form in ((None, "not packed"), (str(tmp_path / "b14"), "packed at 14")):
        found = found_in(train, unlabeled(b, packed=packed), pixels=True)
        assert not found.overlaps
        assert f"at the same size: train (packed at 12), test ({form})" in found.notes[0]


def test_synthetic_patients_of_two_seeds_are_not_the_same(tmp_path):
    def make(seed, split):
        return otcxr_mm.SyntheticCXR(tmp_path, patients=10, size=32, seed=seed, split=split)

    assert not found_in(make(0, "train"), make(1, "train"), pixels=True).leaks
    assert found_in(make(0, "train"), make(0, "train")).leaks


def test_rsna_comes_from_nih_which_is_a_leak_only_if_it_is_shown(nih_folder, tmp_path):
    rsna = folder(tmp_path / "rsna", [("aaaa.png", "", ""), ("bbbb.png", "", "")])
    train, test = otcxr_mm.NIHChestXray14(nih_folder), collection("RSNA pneumonia")(rsna)
    found = found_in(train, test)
    assert not found.leaks
    (note,) = [note for note in found.notes if "come, as far as is known, from NIH ChestX-ray14" in note]
    assert "2 of test" in note
    # in one folder the ids say all that is known
    assert not found_in(otcxr_mm.UnlabeledCXR(rsna), test).notes[2:]

    origins = tmp_path / "origins.csv"
    # of the second, NIH's patient 1, another image is in training
    origins.write_text("image,original\naaaa,00000003_000.png\nbbbb,00000001_007.png\n")
    assert leaks(found_in(train, test, origins=origins)) == [("patients", "1")]
    origins.write_text("image,original\naaaa.png,00000003_000.png\nbbbb.png,images/00000001_001.png\n")
    assert [kind for kind, _ in leaks(found_in(train, test, origins=origins))] == ["patients", "images"]
    origins.write_text("image,nih\na,b\n")
    with pytest.raises(ValueError, match="no column 'original'"):
        found_in(train, test, origins=origins)


@pytest.mark.parametrize(("one", "other"), [("RSNA pneumonia",) * 2, ("VinBigData", "VinDr-CXR")])
def test_images_of_one_source_are_known_by_name_in_any_folder_and_format(tmp_path, one, other):
    a = folder(tmp_path / "a", [("x/aaaa.dcm", "", "")], images=False)
    b = folder(tmp_path / "b", [("aaaa.png", "", ""), ("bbbb.png", "", "")])
    train = collection(one)(a, ann_file="table.csv", check_files=False)
    assert leaks(found_in(train, collection(other)(b))) == [("images", f"{b}/aaaa.png")]
    assert not found_in(unlabeled(a, check_files=False), unlabeled(b)).leaks


def medmnist(root, name, classes, split):
    root.mkdir(exist_ok=True)
    images = {f"{split}_images": np.zeros((3, 8, 8), np.uint8) for split in ("train", "val", "test")}
    labels = {f"{split}_labels": np.zeros((3, classes), np.uint8) for split in ("train", "val", "test")}
    np.savez(root / name, **images, **labels)
    return otcxr_mm.MedMNISTCXR(root, name, split=split)


def test_images_of_medmnist_are_known_by_collection_split_and_number(nih_folder, tmp_path):
    train, test = (medmnist(tmp_path / "m", "chestmnist.npz", 14, split) for split in ("train", "test"))
    assert not found_in(train, test).leaks
    larger = medmnist(tmp_path / "n", "chestmnist_64.npz", 14, "train")
    assert [(leak.kind, leak.images) for leak in found_in(train, larger).leaks] == [("images", (3, 3))]
    children = medmnist(tmp_path / "n", "pneumoniamnist.npz", 1, "train")
    assert not found_in(train, children).leaks
    own = unlabeled(folder(tmp_path / "a", [("1.png", "", "")]))
    assert "images of PneumoniaMNIST come, as far as is known, from Kermany" in found_in(own, children).text()
    origins = tmp_path / "origins.csv"
    origins.write_text("image,original\ntrain/000001,00000001_000.png\n")
    nih = otcxr_mm.NIHChestXray14(nih_folder)
    assert not found_in(nih, test, origins=origins).leaks
    assert [leak.images[1] for leak in found_in(nih, train, origins=origins).leaks] == [1, 1]


def test_equal_configs_are_built_once(nih_folder):
    dataset = dict(type="otcxr_mm.NIHChestXray14", data_root=str(nih_folder), split="test")
    cfg = Config(dict(val_dataloader=dict(dataset=dataset), test_dataloader=dict(dataset=dataset)))
    built = build_datasets(cfg, "pretrain/")
    assert list(built) == ["pretrain/val", "pretrain/test"]
    assert built["pretrain/val"] is built["pretrain/test"]


def test_untrusted_settings_build_our_data_sets_and_nothing_else(nih_folder):
    one = dict(type="otcxr_mm.NIHChestXray14", data_root=str(nih_folder), pipeline=[dict(type="planted.Step")])
    built = build_untrusted(
        dict(type="ConcatDataset", datasets=[one, dict(type="RepeatDataset", times=2, dataset=one)])
    )
    assert [(len(dataset), dataset.pipeline.transforms) for dataset in built] == [(3, []), (3, [])]


@pytest.mark.parametrize("spec", [None, dict(type="subprocess.Popen"), dict(type="mmpretrain.CIFAR10"), dict(type=[])])
def test_untrusted_settings_that_name_anything_else_are_refused(spec):
    with pytest.raises(ValueError, match="not a data set of otcxr_mm"):
        build_untrusted(dict(type="ConcatDataset", datasets=[spec]))


def test_real_images_stored_twice_under_other_names(real_data):
    data = otcxr_mm.UnlabeledCXR(real_data / "kermany", ann_file="labels.csv", img_prefix="images", split="train")
    halves = [data.get_subset(np.arange(start, 1660, 2)) for start in (1640, 1641)]
    patients, pixels = found_in(*halves, pixels=True).leaks
    assert "person1481" in patients.names
    assert len(pixels.names) == 3
