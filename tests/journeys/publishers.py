"""Small data sets in the publishers' own layouts, with planted labels."""

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import numpy as np

from tests.datasets.dicoms import write_dicom
from tests.datasets.layouts import CHEXPERT_HEADER, FINDINGS, MIMIC_LABELS, MIMIC_METADATA, PADCHEST_HEADER, marks

from .planted import COUNTS, SIDE, SMALL, Case, Planted, backgrounds, cases, disc, names, write, write_csv

NIH = ("Pneumonia", "Infiltration", "Edema", "Atelectasis", "Effusion", "Cardiomegaly", "Mass", "Nodule")
NIH += ("Pneumothorax", "Consolidation", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia")
VINBIG = ("Lung Opacity", "Cardiomegaly", "Nodule/Mass", "ILD", "Pleural effusion", "Atelectasis", "Calcification")
VINBIG += ("Aortic enlargement", "Consolidation", "Infiltration", "Other lesion", "Pneumothorax")
VINBIG += ("Pleural thickening", "Pulmonary fibrosis")
CHEST = ("Pneumothorax", "Effusion", "Hernia", "Atelectasis", "Mass")  # of ChestMNIST, not in its order
# ChestMNIST's order of its 14 columns
CHESTMNIST = ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax")
CHESTMNIST += ("Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia")


def nih(root: Path, data: Path, counts: Mapping[str, int] = COUNTS, classes: Sequence[str] = NIH) -> Planted:
    """As NIH ships it, and a split file of one's own with the same parts."""
    planted, rows, splits = Planted(root), [], []
    # the official lists name the test images, whatever their hash
    patients = {**names("{}", (("train", 0.875), ("val", 0.125))), "test": map(str, count(90001))}
    for i, case in enumerate(cases(backgrounds(data / "nih" / "images"), classes, counts, patients)):
        stem = f"{int(case.patient):08d}_{i % 2:03d}"
        write(root / "images" / f"{stem}.png", case.pixels)
        finding = "|".join(case.positive) or "No Finding"
        details = (i % 2, case.patient, 20 + i, "MF"[i // 2 % 2], ("PA", "AP")[i % 2], 2500, 2048, 0.168, 0.168)
        rows.append((f"{stem}.png", finding, *details))
        splits.append((f"{stem}.png", case.patient, case.split))
        planted.add(stem, case.split, case.labels, case.patient)
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    header += "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    write_csv(root / "Data_Entry_2017_v2020.csv", header, rows)
    write_csv(root / "patient_split.csv", "Image Index,Patient ID,split", splits)
    for file, test in (("test_list.txt", True), ("train_val_list.txt", False)):
        listed = [name for name, _, split in splits if (split == "test") == test]
        (root / file).write_text("\n".join(listed) + "\n")
    return planted


def vinbig(root: Path, data: Path, counts: Mapping[str, int] = COUNTS) -> Planted:
    """As Kaggle ships it: DICOM, and three readers of whom two or three mark what is there."""
    planted, rows, free = Planted(root), [], names("{:032x}", key="image {}")
    for i, case in enumerate(cases(backgrounds(data / "nih" / "images", 100), VINBIG, counts)):
        image = next(free[case.split])
        wide = np.round(case.pixels.astype(np.float64) * 4095 / 255).astype(np.uint16)  # 12 bits
        kinds = [(case.pixels,), (wide, 12), (case.pixels,), (4095 - wide, 12, "MONOCHROME1")]
        write_dicom(root / "train" / f"{image}.dicom", *kinds[i % 4])
        for reader in range(3):
            # the third one overlooks every second finding
            found = case.positive if reader < 2 else case.positive[::2]
            box = (10 + reader, 20, 60, 70)
            # class_id is the place in the alphabetical order
            rows += [(image, name, sorted(VINBIG).index(name), f"R{8 + reader}", *box) for name in found]
            if not found:
                rows.append((image, "No finding", 14, f"R{8 + reader}", "", "", "", ""))
        planted.add(image, case.split, case.labels)
    write_csv(root / "train.csv", "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max", rows)
    return planted


def rsna(root: Path, data: Path) -> Planted:
    """As Kaggle ships it: a row per box, and DICOM."""
    planted, rows, details = Planted(root), [], []
    free = names("{:08x}-0000-4000-8000-000000000000", key="image {}")
    for i, case in enumerate(cases(backgrounds(data / "nih" / "images", 200), ("Pneumonia", "another mark"), SMALL)):
        image = next(free[case.split])
        write_dicom(root / "stage_2_train_images" / f"{image}.dcm", case.pixels, PatientID=image, Modality="CR")
        opacity = "Pneumonia" in case.positive
        rows += [(image, "264.0", "152.0", 213.0, 379.0, 1)] * (1 + i % 2) if opacity else [(image, "", "", "", "", 0)]
        details.append((image, "Lung Opacity" if opacity else ("Normal", "No Lung Opacity / Not Normal")[i % 2]))
        planted.add(image, case.split, case.labels)
    write_csv(root / "stage_2_train_labels.csv", "patientId,x,y,width,height,Target", rows)
    write_csv(root / "stage_2_detailed_class_info.csv", "patientId,class", details)
    return planted


def run_length(mask: np.ndarray) -> str:
    """SIIM's code of a mask (1024, 1024): down the columns, each run relative to the end of the one before."""
    flat = np.concatenate([[0], mask.T.ravel(), [0]])
    edges = np.flatnonzero(np.diff(flat)).tolist()
    ends = [0, *edges[1::2]]
    runs = zip(edges[0::2], edges[1::2], ends, strict=False)
    return " ".join(f"{start - before} {end - start}" for start, end, before in runs)


def siim(root: Path, data: Path) -> Planted:
    """As Kaggle ships it: nested folders of DICOM; half of the images have a bright disc, which is the mask."""
    planted, rows, rng = Planted(root), [], np.random.default_rng(0)
    free = names("1.2.276.0.7230010.3.1.4.8323329.{}.1517875201.850819", key="image {}")
    for case in cases(backgrounds(data / "nih" / "images", 300), ("Pneumothorax",), SMALL):
        image = next(free[case.split])
        pixels = np.clip(127.5 + 0.5 * (case.pixels.astype(float) - 127.5), 0, 150)
        mask = disc(*rng.uniform(30, SIDE - 30, 2), rng.uniform(14, 24) if case.positive else 0)
        pixels[mask] = 245
        path = root / "dicom-images-train" / f"{image}.1" / f"{image}.2" / f"{image}.dcm"
        write_dicom(path, pixels.astype(np.uint8))
        rows.append((image, run_length(mask.repeat(8, 0).repeat(8, 1)) or "-1"))
        planted.add(image, case.split, {"Pneumothorax": float(mask.sum())})
    write_csv(root / "train-rle.csv", "ImageId, EncodedPixels", rows)
    return planted


def medmnist(root: Path, data: Path) -> Planted:
    """ChestMNIST at 128 pixels; five of its 14 classes are planted, the others are nowhere."""
    planted, arrays = Planted(root), {}
    for case in cases(backgrounds(data / "kermany" / "images"), CHEST):
        arrays.setdefault(f"{case.split}_images", []).append(case.pixels)
        rows = arrays.setdefault(f"{case.split}_labels", [])
        rows.append(np.array([name in case.positive for name in CHESTMNIST], np.uint8))
        if case.split == "test":
            planted.add(f"{len(rows) - 1:06d}", "test", case.labels)
    root.mkdir(parents=True)
    np.savez_compressed(root / "chestmnist_128.npz", **{name: np.stack(rows) for name, rows in arrays.items()})
    return planted


CHEXPERT5 = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
HALVES = (("train", 0.9), ("val", 0.1))


def found(case: Case, order: Sequence[str]) -> list[str]:
    """A row's labels by CheXpert's labeler: a finding that is not there is blank, or 0.0 for every second image."""
    absent = "0.0" if len(case.positive) % 2 else ""
    named = {name: "1.0" if name in case.positive else absent for name in CHEXPERT5}
    return marks(order, **{name.replace(" ", "_"): mark for name, mark in named.items()})


def chexpert(root: Path, data: Path, counts: Mapping[str, int] = COUNTS) -> Planted:
    """As Stanford ships it; the test images are `valid`."""
    planted, rows = Planted(root), {"train": [], "valid": []}
    patients = {**names("patient{:05d}", HALVES), "test": map("patient9{:04d}".format, count())}
    for i, case in enumerate(cases(backgrounds(data / "nih" / "images"), CHEXPERT5, counts, patients)):
        split = "valid" if case.split == "test" else "train"
        path = f"{split}/{case.patient}/study{i % 2 + 1}/view{i}_frontal.jpg"
        write(root / path, case.pixels)
        about = ("Female", 20 + i, "Frontal", "AP")
        rows[split].append((f"CheXpert-v1.0-small/{path}", *about, *found(case, FINDINGS)))
        planted.add(f"view{i}_frontal", case.split, case.labels, case.patient)
    for split, lines in rows.items():
        write_csv(root / f"{split}.csv", CHEXPERT_HEADER, lines)
    return planted


def mimic(root: Path, data: Path, counts: Mapping[str, int] = COUNTS) -> Planted:
    """As PhysioNet ships it, in three tables."""
    planted, metadata, splits, labels = Planted(root), [], [], []
    patients = {split: map(str, count(10000032 + 10000 * k)) for k, split in enumerate(counts)}
    for i, case in enumerate(cases(backgrounds(data / "nih" / "images"), CHEXPERT5, counts, patients)):
        image, study = f"{i:08x}-bde0afdd-112c0b34-7bc16630-4e384014", 50414267 + i
        write(root / "files" / f"p{case.patient[:2]}" / f"p{case.patient}" / f"s{study}" / f"{image}.jpg", case.pixels)
        metadata.append((image, case.patient, study, "CHEST", "PA", 128, 128, 21800506 + i, "213014.531", "", "", ""))
        splits.append((image, study, case.patient, "validate" if case.split == "val" else case.split))
        labels.append((case.patient, study, *found(case, sorted(FINDINGS))))
        planted.add(image, case.split, case.labels, case.patient)
    write_csv(root / "mimic-cxr-2.0.0-metadata.csv", MIMIC_METADATA, metadata)
    write_csv(root / "mimic-cxr-2.0.0-split.csv", "dicom_id,study_id,subject_id,split", splits)
    write_csv(root / "mimic-cxr-2.0.0-chexpert.csv", MIMIC_LABELS, labels)
    return planted


# a label of PadChest in each group
PADCHEST = {
    "Atelectasis": "laminar atelectasis",
    "Effusion": "loculated pleural effusion",
    "Infiltration": "infiltrates",
}
PADCHEST |= {"Edema": "pulmonary edema", "Fibrosis": "pulmonary fibrosis", "Hernia": "hiatal hernia"}
PADCHEST |= {"Nodule": "multiple nodules", "Pneumonia": "atypical pneumonia", "Consolidation": "air bronchogram"}


def padchest(root: Path, data: Path, counts: Mapping[str, int] = COUNTS) -> Planted:
    """As BIMCV ships it: PNG of 16 bits in numbered folders."""
    planted, rows, classes = Planted(root), [], [name for name in NIH if name != "Infiltration"]
    for i, case in enumerate(cases(backgrounds(data / "nih" / "images"), classes, counts, names("p{}"))):
        image = f"2168401113{i:05d}_00-{i % 7}.png"
        write(root / str(i % 3) / image, case.pixels.astype(np.uint16) * 257)
        row = dict(ImageID=image, ImageDir=i % 3, StudyDate_DICOM=20100101 + i, StudyID=f"s{i}", PatientID=case.patient)
        row |= dict(PatientBirth=1950, PatientSex_DICOM="M", Projection=("PA", "AP_horizontal")[i % 2])
        labels = [PADCHEST.get(name, name.replace("_", " ").lower()) for name in case.positive] or ["normal"]
        row |= dict(MethodLabel="Physician", Labels=f'"{labels}"')
        rows.append([row.get(name, "") for name in PADCHEST_HEADER.split(",")])
        # what shows consolidation shows infiltrates
        labels = {**case.labels, "Infiltration": case.labels["Consolidation"]}
        planted.add(Path(image).stem, case.split, labels, case.patient)
    write_csv(root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", PADCHEST_HEADER, rows)
    return planted
