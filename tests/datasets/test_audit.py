import csv
import json
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


def found_in(train, test, **kwargs):
    return audit({"train": train, "test": test}, **kwargs)


def leaks(found):
    return [(leak.kind, *leak.names) for leak in found.leaks]


def collection(name):
    return type("Published", (otcxr_mm.UnlabeledCXR,), {"collection": name})


def test_a_shared_patient_is_found_across_tables_and_spellings_of_one_folder(tmp_path):
    root = folder(tmp_path / "a", [("1.png", "0017", "train"), ("2.png", "2", "train")])
    folder(root, [("3.png", "17", "test"), ("4.png", "17", "test"), ("5.png", "3", "test")], "other.csv")
    found = found_in(unlabeled(root), unlabeled(root, "test", "other.csv"))
    assert leaks(found) == [("patients", "17")]
    with pytest.raises(ValueError, match=r"train and test: 1 patients \(1 and 2 images\)\n.*split by patient"):
        found.check()


def test_the_same_id_in_another_folder_is_another_patient_but_noted(tmp_path):
    a, b = (unlabeled(folder(tmp_path / name, [(f"{name}.png", "17", "")])) for name in "ab")
    found = found_in(a, b)
    assert not found.leaks
    assert "were not compared (1 are equal: a leak if both come from one source)" in found.notes[0]


def test_the_same_id_of_one_published_collection_is_the_same_patient_in_any_folder(nih_folder, tmp_path):
    copy = shutil.copytree(nih_folder, tmp_path / "copy")
    (copy / "train_val_list.txt").write_text("00000003_000.png\n")
    (copy / "test_list.txt").write_text("00000001_000.png\n")
    found = found_in(otcxr_mm.NIHChestXray14(nih_folder), otcxr_mm.NIHChestXray14(copy, split="test"))
    # the file name is NIH's, too
    assert leaks(found) == [("patients", "1"), ("images", str(copy / "images/00000001_000.png"))]
    assert found.leaks[0].images == (2, 1)


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_linked_file_is_the_same_file_and_not_a_copy(tmp_path, link):
    root = folder(tmp_path / "a", [("1.png", "", "train"), ("2.png", "", "test")])
    (tmp_path / "b").mkdir()
    for name, target in (("x.png", "2.png"), ("y.png", "1.png")):
        getattr(tmp_path / "b" / name, link)(root / target)
    found = found_in(otcxr_mm.UnlabeledCXR(tmp_path / "b"), unlabeled(root, "test"), pixels=True)
    assert [(o.kind, o.names) for o in found.overlaps] == [("images", (str(root / "2.png"),))]


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


@pytest.mark.parametrize(("one", "other"), [("RSNA pneumonia",) * 2, ("VinBigData", "VinDr-CXR")])
def test_images_of_one_source_are_known_by_name_in_any_folder_and_format(tmp_path, one, other):
    a = folder(tmp_path / "a", [("x/aaaa.dcm", "", "")], images=False)
    b = folder(tmp_path / "b", [("aaaa.png", "", ""), ("bbbb.png", "", "")])
    train = collection(one)(a, ann_file="table.csv", check_files=False)
    assert leaks(found_in(train, collection(other)(b))) == [("images", f"{b}/aaaa.png")]
    assert not found_in(unlabeled(a, check_files=False), unlabeled(b)).leaks


@pytest.mark.parametrize(
    ("first", "second", "leak"),
    [
        ("train", "val", True),
        ("train", "test", True),
        ("val", "test", False),
        ("pretrain/train", "train", False),
        ("pretrain/train", "val", False),
        ("pretrain/train", "test", True),
        ("pretrain/train", "pretrain/val", True),
        ("pretrain/val", "train", False),
    ],
)
def test_what_may_share_patients(tmp_path, first, second, leak):
    data = unlabeled(folder(tmp_path / "a", [(f"{i}.png", f"p{i:02d}", "") for i in range(12)]))
    found = audit({second: data, first: data})
    assert bool(found.leaks) == leak
    assert {(len(o.names), o.images) for o in found.overlaps} == {(12, (12, 12))}
    assert all((leak.first, leak.second) == (first, second) for leak in found.leaks)
    # names end after ten
    assert "p09, ...\n" in found.text(show_ids=True)
    optimistic = "validation figures are optimistic, test figures are not affected" in found.text()
    assert optimistic == (second == "val" and not leak)


def test_ids_are_compared_if_one_root_is_inside_the_other(tmp_path):
    scans = folder(tmp_path / "scans", [("images/1.png", "P1", ""), ("images/2.png", "P2", "")])
    inner = folder(scans / "images", [("3.png", "p1", ""), ("4.png", "P3", "")])
    (tmp_path / "link").symlink_to(scans)
    for outer in (scans, tmp_path / "link"):
        assert leaks(found_in(unlabeled(outer), unlabeled(inner))) == [("patients", "p1")]
        assert leaks(found_in(unlabeled(inner), unlabeled(outer))) == [("patients", "p1")]
    # neither two folders inside a third nor two whose names begin alike are inside each other
    assert not found_in(unlabeled(folder(scans / "more", [("6.png", "P1", "")])), unlabeled(inner)).leaks
    assert not found_in(unlabeled(folder(tmp_path / "scans2", [("5.png", "P1", "")])), unlabeled(scans)).leaks


def test_images_of_medmnist_are_known_by_collection_split_and_number(tmp_path):
    images = {f"{split}_images": np.zeros((3, 8, 8), np.uint8) for split in ("train", "val", "test")}
    labels = {f"{split}_labels": np.zeros((3, 14), np.uint8) for split in ("train", "val", "test")}
    for name in ("chestmnist.npz", "chestmnist_64.npz"):
        np.savez(tmp_path / name, **images, **labels)
    train, test, larger = (
        otcxr_mm.MedMNISTCXR(tmp_path, name, split=split)
        for name, split in (("chestmnist.npz", "train"), ("chestmnist.npz", "test"), ("chestmnist_64.npz", "train"))
    )
    assert not found_in(train, test).leaks
    assert [(leak.kind, leak.images) for leak in found_in(train, larger).leaks] == [("images", (3, 3))]


def test_wrapped_sets_are_looked_into(tmp_path):
    root = folder(tmp_path / "a", [("1.png", "1", "train"), ("2.png", "2", "train"), ("3.png", "3", "test")])
    train, test = unlabeled(root, "train"), unlabeled(root, "test")
    joint = ConcatDataset([train, test])
    found = found_in([RepeatDataset(train, 3), test], test)
    assert {(o.first, o.second, o.images) for o in found.overlaps} == {("train[1]", "test", (1, 1))}
    assert not found_in(Subset(joint, [0, 1]), test).leaks
    assert found_in(Subset(joint, [0, 2]), test).leaks
    one = dict(type="otcxr_mm.UnlabeledCXR", data_root=str(root), ann_file="table.csv", split="train")
    assert len(next(leaves(KFoldDataset(one, num_splits=2)))) == 1
    assert "TensorDataset is not a data set of otcxr_mm" in audit({"train": TensorDataset()}).notes[0]


def test_packed_images_are_compared_without_their_files_with_others_of_the_same_size(tmp_path):
    a = folder(tmp_path / "a", [("1.png", "p", "")])
    b = folder(tmp_path / "b", [("y.png", "s", "")])
    shutil.copy(a / "1.png", b / "y.png")
    otcxr_mm.pack_images(a, ["1.png"], tmp_path / "a12", 12)
    otcxr_mm.pack_images(b, ["y.png"], tmp_path / "b12", 12, depth=16)
    (a / "1.png").unlink()
    train = unlabeled(a, packed=str(tmp_path / "a12"))
    found = found_in(train, unlabeled(b, packed=str(tmp_path / "b12")), pixels=True)
    assert leaks(found) == [("pixels", f"{a}/1.png = {b}/y.png")]
    found = found_in(train, unlabeled(b), pixels=True)
    assert not found.overlaps
    assert "at the same size: train (packed at 12), test (not packed)" in found.notes[0]


def test_rsna_comes_from_nih_which_is_a_leak_only_if_it_is_shown(nih_folder, tmp_path):
    rsna = folder(tmp_path / "rsna", [("aaaa.png", "", ""), ("bbbb.png", "", "")])
    train, test = otcxr_mm.NIHChestXray14(nih_folder), collection("RSNA pneumonia")(rsna)
    found = found_in(train, test)
    assert not found.leaks
    (note,) = [note for note in found.notes if "come, as far as is known, from NIH ChestX-ray14" in note]
    assert "2 of test" in note
    origins = tmp_path / "origins.csv"
    # of the second, NIH's patient 1, another image is in training
    origins.write_text("image,original\naaaa,00000003_000.png\nbbbb,00000001_007.png\n")
    assert leaks(found_in(train, test, origins=origins)) == [("patients", "1")]
    origins.write_text("image,original\nbbbb.png,images/00000001_001.png\n")
    assert [kind for kind, _ in leaks(found_in(train, test, origins=origins))] == ["patients", "images"]


def test_equal_configs_are_built_once(nih_folder):
    dataset = dict(type="otcxr_mm.NIHChestXray14", data_root=str(nih_folder), split="test")
    cfg = Config(dict(val_dataloader=dict(dataset=dataset), test_dataloader=dict(dataset=dataset)))
    built = build_datasets(cfg, "pretrain/")
    assert list(built) == ["pretrain/val", "pretrain/test"]
    assert built["pretrain/val"] is built["pretrain/test"]


def test_real_images_stored_twice_under_other_names(real_data):
    data = unlabeled(real_data / "kermany", "train", "labels.csv", img_prefix="images")
    halves = [data.get_subset(np.arange(start, 1660, 2)) for start in (1640, 1641)]
    patients, pixels = found_in(*halves, pixels=True).leaks
    assert "person1481" in patients.names
    assert len(pixels.names) == 3


def test_the_mapping_that_rsna_publishes_is_read(nih_folder, tmp_path):
    rsna = folder(tmp_path / "rsna", [("0004cfab-14fd.png", "", ""), ("000924cf-0f8d.png", "", "")])
    train, test = otcxr_mm.NIHChestXray14(nih_folder), collection("RSNA pneumonia")(rsna)
    mapping = tmp_path / "pneumonia-challenge-dataset-mappings_2018.json"
    ids = [("0004cfab-14fd", "00000003_000.png"), ("000924cf-0f8d", "00000001_007.png"), ("not there", "x.png")]
    entries = [dict(subset_img_id=image, img_id=original, orig_labels=["Mass"]) for image, original in ids]
    mapping.write_text(json.dumps(entries))
    assert leaks(found_in(train, test, origins=mapping)) == [("patients", "1")]
    # in RSNA's own folder, it is found
    table = "patientId,Target\n0004cfab-14fd,0\n000924cf-0f8d,1\n"
    (rsna / "stage_2_train_labels.csv").write_text(table)
    (rsna / mapping.name).write_text(mapping.read_text())
    own = otcxr_mm.RSNAPneumonia(rsna, check_files=False)
    assert leaks(found_in(train, own)) == [("patients", "1")]
    for content in ("", "[1]", '{"a": 1}', '[{"img_id": "x.png"}]'):
        mapping.write_text(content)
        with pytest.raises(ValueError, match=r"mappings_2018.json: not RSNA's list of images with `subset_img_id`"):
            found_in(train, test, origins=mapping)


def test_images_of_a_collection_in_a_folder_of_ones_own_are_noted_by_their_names(tmp_path):
    names = [f"21684011136696401{i}_00-059-087" for i in range(3)]
    padchest = folder(tmp_path / "padchest", [(f"0/{name}.png", f"p{name}", "") for name in names], images=False)
    rows = [(f"{name}.jpg", "", "") for name in (names[0], names[2], "COVID-1")]
    covid = folder(tmp_path / "covid", rows)
    published = collection("PadChest")(padchest, ann_file="table.csv", check_files=False)
    found = found_in(published, unlabeled(covid))
    assert not found.leaks
    (note,) = [note for note in found.notes if "have names of images of PadChest" in note]
    assert note.startswith("train and test: 2 files of test") and note.endswith("this is a leak")
    found = audit({"pretrain/train": published, "train": unlabeled(covid)})
    (note,) = [note for note in found.notes if "names of" in note]
    assert note.endswith("both sets hold them")
