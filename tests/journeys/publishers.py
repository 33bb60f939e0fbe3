"""Small data sets in the publishers' own layouts, with planted labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.datasets.dicoms import write_dicom

from .planted import (
    COUNTS,
    SIDE,
    Labels,
    Planted,
    backgrounds,
    cases,
    image_ids,
    patient_ids,
    read_csv,
    write,
    write_csv,
)

NIH = ("Pneumonia", "Infiltration", "Edema", "Atelectasis", "Effusion", "Cardiomegaly", "Mass", "Nodule")
NIH += ("Pneumothorax", "Consolidation", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia")
VINBIG = ("Lung Opacity", "Cardiomegaly", "Nodule/Mass", "ILD", "Pleural effusion", "Atelectasis", "Calcification")
VINBIG += ("Aortic enlargement", "Consolidation", "Infiltration", "Other lesion", "Pneumothorax")
VINBIG += ("Pleural thickening", "Pulmonary fibrosis")
# the numbers of train.csv, in the alphabetical order of the names
VINBIG_NUMBER = {name: i for i, name in enumerate(sorted(VINBIG))}
CHEST = ("Pneumothorax", "Effusion", "Hernia", "Atelectasis", "Mass")  # of ChestMNIST, not in its order
# ChestMNIST's order of its 14 columns
CHESTMNIST = ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax")
CHESTMNIST += ("Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia")
SHARES = (("train", 0.7), ("val", 0.1), ("test", 0.2))
SMALL = {"train": 16, "val": 8, "test": 8}


def nih(root: Path, data: Path, counts: Mapping[str, int] = COUNTS, classes: Sequence[str] = NIH) -> Planted:
    """As NIH ships it, and a split file of one's own with the same parts."""
    patient_of = patient_ids("{}", (("train", 0.875), ("val", 0.125)))
    rows, splits, patients = [], [], {}
    for i, case in enumerate(cases(backgrounds(data / "nih" / "images"), classes, counts)):
        patient = patient_of(case)
        name = f"{int(patient):08d}_{i % 2:03d}.png"
        write(root / "images" / name, case.pixels)
        age, sex, view = 20 + i, "MF"[i // 2 % 2], ("PA", "AP")[i % 2]
        finding = "|".join(sorted(case.positive)) or "No Finding"
        rows.append((name, finding, i % 2, patient, age, sex, view, 2500, 2048, 0.168, 0.168))
        splits.append((name, patient, case.split))
        patients[Path(name).stem] = patient
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    header += "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    write_csv(root / "Data_Entry_2017_v2020.csv", header, rows)
    write_csv(root / "patient_split.csv", "Image Index,Patient ID,split", splits)
    test = [name for name, _, split in splits if split == "test"]
    (root / "test_list.txt").write_text("\n".join(test) + "\n")
    rest = [name for name, _, split in splits if split != "test"]
    (root / "train_val_list.txt").write_text("\n".join(rest) + "\n")

    def labels() -> Labels:
        table = read_csv(root / "Data_Entry_2017_v2020.csv")
        named = {Path(row["Image Index"]).stem: row["Finding Labels"].split("|") for row in table}
        return {image: {name: float(name in found) for name in NIH} for image, found in named.items()}

    return Planted(root, labels, patients, frozenset(Path(name).stem for name in test))


def write_xray(path: Path, pixels: np.ndarray, i: int, **tags: object) -> None:
    """A DICOM of 8 bits, or every second one of 12 bits, of which every second one is MONOCHROME1."""
    if i % 2 == 0:
        write_dicom(path, pixels, **tags)
    else:
        wide = np.round(pixels.astype(np.float64) * 4095 / 255).astype(np.uint16)
        inverted = i % 4 == 3
        photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
        write_dicom(path, 4095 - wide if inverted else wide, 12, photometric, **tags)


def vinbig(root: Path, data: Path, counts: Mapping[str, int] = COUNTS) -> Planted:
    """As Kaggle ships it: DICOM, and three readers of whom two or three mark what is there."""
    id_of = image_ids("{:032x}", SHARES)
    rows, test, patients = [], set(), {}
    for i, case in enumerate(cases(backgrounds(data / "nih" / "images", 100), VINBIG, counts)):
        image = id_of(case)
        write_xray(root / "train" / f"{image}.dicom", case.pixels, i)
        for reader in range(3):
            # the third one overlooks every second finding
            found = sorted(case.positive) if reader < 2 else sorted(case.positive)[::2]
            box = (10 + reader, 20, 60, 70)
            rows += [(image, name, VINBIG_NUMBER[name], f"R{8 + reader}", *box) for name in found]
            if not found:
                rows.append((image, "No finding", 14, f"R{8 + reader}", "", "", "", ""))
        patients[image] = ""
        test |= {image} if case.split == "test" else set()
    write_csv(root / "train.csv", "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max", rows)

    def labels() -> Labels:
        table = read_csv(root / "train.csv")
        votes = Counter(
            (image, name) for image, name, _ in {(r["image_id"], r["class_name"], r["rad_id"]) for r in table}
        )
        label = {0: 0.0, 1: np.nan, 2: 1.0, 3: 1.0}
        return {row["image_id"]: {name: label[votes[row["image_id"], name]] for name in VINBIG} for row in table}

    return Planted(root, labels, patients, frozenset(test))


def rsna(root: Path, data: Path) -> Planted:
    """As Kaggle ships it: a row per box, and DICOM."""
    id_of = image_ids("{:08x}-0000-4000-8000-000000000000", SHARES)
    rows, details, test, patients = [], [], set(), {}
    for i, case in enumerate(cases(backgrounds(data / "nih" / "images", 200), ("Pneumonia", "another mark"), SMALL)):
        image = id_of(case)
        write_dicom(root / "stage_2_train_images" / f"{image}.dcm", case.pixels, PatientID=image, Modality="CR")
        opacity = "Pneumonia" in case.positive
        rows += [(image, "264.0", "152.0", 213.0, 379.0, 1)] * (1 + i % 2) if opacity else [(image, "", "", "", "", 0)]
        details.append((image, "Lung Opacity" if opacity else ("Normal", "No Lung Opacity / Not Normal")[i % 2]))
        patients[image] = ""
        test |= {image} if case.split == "test" else set()
    write_csv(root / "stage_2_train_labels.csv", "patientId,x,y,width,height,Target", rows)
    write_csv(root / "stage_2_detailed_class_info.csv", "patientId,class", details)

    def labels() -> Labels:
        table = read_csv(root / "stage_2_train_labels.csv")
        return {row["patientId"]: {"Pneumonia": float(row["Target"])} for row in table}

    return Planted(root, labels, patients, frozenset(test))


def run_length(mask: np.ndarray) -> str:
    """SIIM's code of a mask (1024, 1024): down the columns, each run relative to the end of the one before."""
    flat = np.concatenate([[0], mask.T.ravel(), [0]])
    edges = np.flatnonzero(np.diff(flat)).tolist()
    ends = [0, *edges[1::2]]
    runs = zip(edges[0::2], edges[1::2], ends, strict=False)
    return " ".join(f"{start - before} {end - start}" for start, end, before in runs)


def disc(row: float, column: float, radius: float) -> np.ndarray:
    """A disc, (SIDE, SIDE) bool."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return (y - row) ** 2 + (x - column) ** 2 < radius**2


def siim(root: Path, data: Path) -> Planted:
    """As Kaggle ships it: nested folders of DICOM; half of the images have a bright disc, which is the mask."""
    id_of = image_ids("1.2.276.0.7230010.3.1.4.8323329.{}.1517875201.850819", SHARES)
    rng = np.random.default_rng(0)
    rows, test, patients = [], set(), {}
    for case in cases(backgrounds(data / "nih" / "images", 300), ("Pneumothorax",), SMALL):
        image = id_of(case)
        pixels = np.clip(127.5 + 0.5 * (case.pixels.astype(float) - 127.5), 0, 150)
        code = "-1"
        if case.positive:
            mask = disc(*rng.uniform(30, SIDE - 30, 2), rng.uniform(14, 24))
            pixels[mask] = 245
            code = run_length(mask.repeat(8, 0).repeat(8, 1))
        path = root / "dicom-images-train" / f"{image}.1" / f"{image}.2" / f"{image}.dcm"
        write_dicom(path, pixels.astype(np.uint8))
        rows.append((image, code))
        patients[image] = ""
        test |= {image} if case.split == "test" else set()
    write_csv(root / "train-rle.csv", "ImageId, EncodedPixels", rows)

    def areas() -> Labels:
        table = read_csv(root / "train-rle.csv")
        area = {row["ImageId"]: sum(map(int, row["EncodedPixels"].split()[1::2])) / 64 for row in table}
        return {image: {"Pneumothorax": pixels} for image, pixels in area.items()}

    return Planted(root, areas, patients, frozenset(test))


def medmnist(root: Path, data: Path) -> Planted:
    """ChestMNIST at 128 pixels; five of its 14 classes are planted, the others are nowhere."""
    arrays: dict[str, list[np.ndarray]] = {}
    for case in cases(backgrounds(data / "kermany" / "images"), CHEST):
        arrays.setdefault(f"{case.split}_images", []).append(case.pixels)
        row = np.array([name in case.positive for name in CHESTMNIST], np.uint8)
        arrays.setdefault(f"{case.split}_labels", []).append(row)
    root.mkdir(parents=True)
    np.savez_compressed(root / "chestmnist_128.npz", **{name: np.stack(rows) for name, rows in arrays.items()})

    def labels() -> Labels:
        table = np.load(root / "chestmnist_128.npz")["test_labels"]
        rows = {
            f"{i:06d}": dict(zip(CHESTMNIST, row.astype(float).tolist(), strict=True)) for i, row in enumerate(table)
        }
        return {image: {name: row[name] for name in CHEST} for image, row in rows.items()}

    names = [f"{i:06d}" for i in range(len(arrays["test_images"]))]
    return Planted(root, labels, dict.fromkeys(names, ""), frozenset(names))
