"""Small folders as people have them: a csv, masks, DICOM without a table, and what the r18 configs read."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.datasets.dicoms import write_dicom

from . import options
from .planted import Labels, Planted, backgrounds, cases, image_ids, patient_ids, plant, read_csv, write, write_csv
from .publishers import SHARES, SMALL, disc

# classes to columns: neither is in alphabetical order, nor in that of the other
OWN = {"Virus": "COVID", "Fungus": "Pneumocystis", "Bacteria": "Streptococcus"}
KERMANY = ("normal", "bacteria", "virus")

# configs as people write them, and options of a short pre-training
CROPS = options.cfg(options.loaders(8, "train"), ["train_cfg.max_epochs=2", "param_scheduler=[]"])
PRETRAIN = """
_base_ = ["otcxr_mm::otcxr_r18_cpu.py"]
train_dataloader = dict(
    dataset=dict(_delete_=True, type="otcxr_mm.UnlabeledCXR", data_root="{root}", {more}
        pipeline=_base_.train_pipeline)
)
"""
LABELS = """
_base_ = ["otcxr_mm::linear_r18_kermany.py"]
ours = dict(
    _delete_=True,
    type="otcxr_mm.CSVLabeledCXR",
    data_root="{root}",
    ann_file="labels.csv",
    {more}
    pipeline=_base_.test_pipeline,
    test_mode=True,
)
train_dataloader = dict(dataset=dict(**ours, split="train"))
val_dataloader = dict(dataset=dict(**ours, split="val"))
test_dataloader = dict(dataset=dict(**ours, split="test"))
model = dict(head=dict(num_classes={classes}))
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/mine/backbone.pth"))
"""
MAPPING = 'img_prefix="images", label_columns=dict(Virus="COVID", Fungus="Pneumocystis", Bacteria="Streptococcus"),'


def label_columns(file: Path, columns: Mapping[str, str], image: str) -> Labels:
    """Labels of a csv with a column of 1 and 0 per class."""
    return {
        Path(row[image]).stem: {name: float(row[column]) for name, column in columns.items()} for row in read_csv(file)
    }


def own_csv(root: Path, data: Path) -> Planted:
    """A folder of PNG, with a csv that names patients, splits and labels."""
    rows, patients, test = [], {}, set()
    columns = sorted(OWN.values())
    for i, case in enumerate(cases(backgrounds(data / "kermany" / "images", 100), tuple(OWN))):
        name = f"{case.split}_{i}.png"
        write(root / "images" / name, case.pixels)
        patient = f"{case.split} {case.patient}"
        positive = {OWN[finding] for finding in case.positive}
        rows.append((name, patient, case.split, *(int(column in positive) for column in columns)))
        patients[Path(name).stem] = patient
        test |= {Path(name).stem} if case.split == "test" else set()
    write_csv(root / "labels.csv", ",".join(["path", "patient", "split", *columns]), rows)
    return Planted(root, lambda: label_columns(root / "labels.csv", OWN, "path"), patients, frozenset(test))


def dicom_folder(root: Path, data: Path) -> Planted:
    """DICOM whose headers name the patients, and a csv of labels alone."""
    patient_of = patient_ids("MRN{:05d}", SHARES)
    rows, patients, test = [], {}, set()
    for i, case in enumerate(cases(backgrounds(data / "kermany" / "images", 200), ("Mass", "Edema"), SMALL)):
        patient, name = patient_of(case), f"{i:04d}"
        tags = dict(PatientID=patient, PatientSex="FM"[case.patient % 2], PatientAge="061Y", ViewPosition="PA")
        write_dicom(root / "studies" / f"{i % 3}" / f"{name}.dcm", case.pixels, **tags)
        rows.append((f"studies/{i % 3}/{name}.dcm", int("Edema" in case.positive), int("Mass" in case.positive)))
        patients[name] = patient
        test |= {name} if case.split == "test" else set()
    write_csv(root / "labels.csv", "path,Edema,Mass", rows)
    columns = {"Mass": "Mass", "Edema": "Edema"}
    return Planted(root, lambda: label_columns(root / "labels.csv", columns, "path"), patients, frozenset(test))


def kermany(root: Path, data: Path) -> Planted:
    """What kermany_96.py reads: each image is of one of three kinds."""
    images = backgrounds(data / "kermany" / "images", 300)
    rows, patients, test = [], {}, set()
    for split, n in {"train": 24, "val": 12, "test": 12}.items():
        for i in range(n):
            kind, name, patient = i // 2 % 3, f"{split}_{i}.png", f"{split} {i // 2}"
            write(root / "images" / name, plant(next(images), [kind]))
            rows.append((name, KERMANY[kind], patient, split))
            patients[Path(name).stem] = patient
            test |= {Path(name).stem} if split == "test" else set()
    write_csv(root / "labels.csv", "filename,subtype,patient,split", rows)

    def labels() -> Labels:
        kind_of = {Path(row["filename"]).stem: row["subtype"] for row in read_csv(root / "labels.csv")}
        return {image: {name: float(name == kind) for name in KERMANY} for image, kind in kind_of.items()}

    return Planted(root, labels, patients, frozenset(test))


def masks(root: Path, data: Path) -> Planted:
    """Three structures with a folder of masks each: two lungs that look alike, and a heart."""
    rows, patients, test = [], {}, set()
    rng = np.random.default_rng(0)
    for i, case in enumerate(cases(backgrounds(data / "kermany" / "images", 400), ("any",), SMALL)):
        name = f"{case.split}_{i}.png"
        y, x = rng.uniform(50, 70), rng.uniform(-6, 6)
        # the patient's left is on the right of the image
        found = {"left": disc(y, 98 + x, 18), "right": disc(y, 34 + x, 18), "heart": disc(y + 38, 74 + x, 18)}
        pixels = np.clip(127.5 + 0.5 * (case.pixels.astype(float) - 127.5), 60, 190)
        pixels[found["left"] | found["right"]] = 10
        pixels[found["heart"]] = 245
        write(root / "images" / name, pixels.astype(np.uint8))
        for folder, mask in found.items():
            write(root / folder / name, mask.astype(np.uint8) * 255)
        patient = f"{case.split} {case.patient}"
        rows.append((name, patient, case.split, *(int(found[key].sum()) for key in ("heart", "left", "right"))))
        patients[Path(name).stem] = patient
        test |= {Path(name).stem} if case.split == "test" else set()
    write_csv(root / "labels.csv", "filename,patient,split,heart,left,right", rows)
    columns = {"right_lung": "right", "left_lung": "left", "heart": "heart"}
    return Planted(root, lambda: label_columns(root / "labels.csv", columns, "filename"), patients, frozenset(test))


def lungs(root: Path, data: Path, folder: str, table: bool) -> Planted:
    """Bright discs and a folder of their masks; with a table of patients and splits, or split by the hash of names."""
    name_of = image_ids("{}", SHARES)
    rows, test = [], set()
    for case in cases(backgrounds(data / "kermany" / "images", 500), ("any",), SMALL):
        name = name_of(case)
        mask = disc(64, 64, 20 + case.patient)
        write(root / "images" / f"{name}.png", np.where(mask, 245, case.pixels // 2))
        write(root / folder / f"{name}.png", mask.astype(np.uint8) * 255)
        rows.append((f"{name}.png", f"{case.split} {case.patient}", case.split, int(mask.sum())))
        test |= {name} if case.split == "test" else set()
    write_csv(root / ("labels.csv" if table else "areas.csv"), "filename,patient,split,lung", rows)
    patients = {Path(name).stem: patient if table else "" for name, patient, *_ in rows}
    areas = {Path(name).stem: {"lung": float(area)} for name, *_, area in rows}
    return Planted(root, lambda: areas, patients, frozenset(test))
