"""Small folders as people have them: a csv, masks, DICOM without a table, and what the r18 configs read."""

from pathlib import Path

import numpy as np

from tests.datasets.dicoms import write_dicom

from . import options
from .planted import SMALL, Planted, backgrounds, cases, disc, names, plant, write, write_csv

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


def own_csv(root: Path, data: Path) -> Planted:
    """A folder of PNG, with a csv that names patients, splits and labels."""
    planted, rows = Planted(root), []
    for i, case in enumerate(cases(backgrounds(data / "kermany" / "images", 100), tuple(OWN))):
        name = f"{case.split}_{i}"
        write(root / "images" / f"{name}.png", case.pixels)
        rows.append((f"{name}.png", case.patient, case.split, *(int(case.labels[key]) for key in sorted(OWN))))
        planted.add(name, case.split, case.labels, case.patient)
    write_csv(root / "labels.csv", ",".join(["path", "patient", "split", *(OWN[key] for key in sorted(OWN))]), rows)
    return planted


def dicom_folder(root: Path, data: Path) -> Planted:
    """DICOM whose headers name the patients, and a csv of labels alone."""
    planted, rows = Planted(root), []
    images = backgrounds(data / "kermany" / "images", 200)
    for i, case in enumerate(cases(images, ("Mass", "Edema"), SMALL, names("MRN{:05d}"))):
        path = f"studies/{i % 3}/{i:04d}.dcm"
        tags = dict(PatientID=case.patient, PatientSex="FM"[i // 2 % 2], PatientAge="061Y", ViewPosition="PA")
        write_dicom(root / path, case.pixels, **tags)
        rows.append((path, int(case.labels["Edema"]), int(case.labels["Mass"])))
        planted.add(f"{i:04d}", case.split, case.labels, case.patient)
    write_csv(root / "labels.csv", "path,Edema,Mass", rows)
    return planted


def kermany(root: Path, data: Path) -> Planted:
    """What kermany_96.py reads: each image is of one of three kinds."""
    images = backgrounds(data / "kermany" / "images", 300)
    planted, rows = Planted(root), []
    for split, n in {"train": 24, "val": 12, "test": 12}.items():
        for i in range(n):
            kind, name, patient = i // 2 % 3, f"{split}_{i}", f"{split} {i // 2}"
            write(root / "images" / f"{name}.png", plant(next(images), [kind]))
            rows.append((f"{name}.png", KERMANY[kind], patient, split))
            planted.add(name, split, {key: float(key == KERMANY[kind]) for key in KERMANY}, patient)
    write_csv(root / "labels.csv", "filename,subtype,patient,split", rows)
    return planted


def masks(root: Path, data: Path) -> Planted:
    """Three structures with a folder of masks each: two lungs that look alike, and a heart."""
    planted, rows = Planted(root), []
    rng = np.random.default_rng(0)
    for i, case in enumerate(cases(backgrounds(data / "kermany" / "images", 400), ("any",), SMALL)):
        name = f"{case.split}_{i}"
        y, x = rng.uniform(50, 70), rng.uniform(-6, 6)
        # the patient's left is on the right of the image
        found = {"left_lung": disc(y, 98 + x, 18), "right_lung": disc(y, 34 + x, 18), "heart": disc(y + 38, 74 + x, 18)}
        pixels = np.clip(127.5 + 0.5 * (case.pixels.astype(float) - 127.5), 60, 190)
        pixels[found["left_lung"] | found["right_lung"]] = 10
        pixels[found["heart"]] = 245
        write(root / "images" / f"{name}.png", pixels.astype(np.uint8))
        for folder, mask in found.items():
            write(root / folder / f"{name}.png", mask.astype(np.uint8) * 255)
        rows.append((f"{name}.png", case.patient, case.split))
        planted.add(name, case.split, {key: float(mask.sum()) for key, mask in found.items()}, case.patient)
    write_csv(root / "labels.csv", "filename,patient,split", rows)
    return planted


def lungs(root: Path, data: Path, folder: str, table: bool) -> Planted:
    """Bright discs and a folder of their masks; with a table of patients and splits, or split by the hash of names."""
    planted, rows, free = Planted(root), [], names("{}", key="image {}")
    for i, case in enumerate(cases(backgrounds(data / "kermany" / "images", 500), ("any",), SMALL)):
        name, mask = next(free[case.split]), disc(64, 64, 20 + i // 2 % 8)
        write(root / "images" / f"{name}.png", np.where(mask, 245, case.pixels // 2))
        write(root / folder / f"{name}.png", mask.astype(np.uint8) * 255)
        rows.append((f"{name}.png", case.patient, case.split))
        planted.add(name, case.split, {"lung": float(mask.sum())}, case.patient if table else "")
    if table:
        write_csv(root / "labels.csv", "filename,patient,split", rows)
    return planted
