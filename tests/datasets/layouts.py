"""Small sound folders in the layouts of all data sets, with six images each, and the data sets that read them."""

import gzip
import zipfile

import numpy as np

import otcxr_mm
from tests.conftest import write_image
from tests.datasets.dicoms import write_dicom
from tests.journeys.planted import write_csv

N = 6
NIH_HEADER = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
VINBIG_HEADER = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"


def write_text(path, text):
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


def images(folder, names, size=(24, 30)):
    for name in names:
        if name.endswith(".dcm"):
            write_dicom(folder / name, np.random.randint(0, 256, size, dtype=np.uint8))
        else:
            write_image(folder / name, size)


def own_csv(folder):
    names = [f"{i}.{'jpg' if i % 2 else 'png'}" for i in range(N)]
    images(folder / "img", names)
    rows = [
        (name, f"p{i // 2}", "train" if i < 4 else "test", 30 + i, i % 2, (i + 1) % 2) for i, name in enumerate(names)
    ]
    write_csv(folder / "t.csv", "path,patient,split,age,Mass,Edema", rows)


def nih(folder):
    names = [f"0000000{i}_000.png" for i in range(N)]
    images(folder / "images", names)
    findings = ["Mass|Edema", "No Finding", "Hernia", "Mass", "No Finding", "Edema"]
    rows = [
        (name, found, 0, i, f"05{i}", "F", "PA") for i, (name, found) in enumerate(zip(names, findings, strict=True))
    ]
    write_csv(folder / "Data_Entry_2017_v2020.csv", NIH_HEADER, rows)
    write_text(folder / "train_val_list.txt", "\n".join(names[:4]))
    write_text(folder / "test_list.txt", "\n".join(names[4:]))


def vinbig(folder):
    images(folder / "train", [f"{i}.dcm" for i in range(N)])
    mark = [("No finding", 14, "", "", "", ""), ("Cardiomegaly", 3, 1, 1, 9, 9)]
    rows = [(i, *mark[i % 2][:2], f"R{r}", *mark[i % 2][2:]) for i in range(N) for r in range(3)]
    write_csv(folder / "train.csv", VINBIG_HEADER, rows)


def vindr(folder):
    for split in ("train", "test"):
        images(folder / split, [f"{split}{i}.png" for i in range(N)])
        readers = [(f"R{r}",) for r in range(3)] if split == "train" else [()]
        rows = [(f"{split}{i}", *reader, i % 2, 0, 1 - i % 2) for i in range(N) for reader in readers]
        header = f"image_id,{'rad_id,' if split == 'train' else ''}Cardiomegaly,Pneumonia,No finding"
        write_csv(folder / "annotations" / f"image_labels_{split}.csv", header, rows)


def rsna(folder):
    images(folder / "stage_2_train_images", [f"{i}.dcm" for i in range(N)])
    rows = [(i, *((1.0, 2.0, 3.0, 4.0, 1) if i % 2 else ("", "", "", "", 0))) for i in range(N)]
    write_csv(folder / "stage_2_train_labels.csv", "patientId,x,y,width,height,Target", rows)
    rows = [(i, "Lung Opacity" if i % 2 else "Normal") for i in range(N)]
    write_csv(folder / "stage_2_detailed_class_info.csv", "patientId,class", rows)


def siim(folder):
    images(folder / "dicom-images-train", [f"1.2.{i}.png" for i in range(N)], (32, 32))
    rows = [(f"1.2.{i}", "5 90" if i % 2 else " -1") for i in range(N)]
    write_csv(folder / "train-rle.csv", "ImageId, EncodedPixels", rows)


def masks(folder):
    images(folder / "images", [f"{i}.png" for i in range(N)])
    for i in range(N):
        write_image(folder / "masks" / f"{i}.png", (24, 30), value=255)


def npz(folder, **changed):
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = np.random.randint(0, 256, (N, 8, 8), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.eye(N, 1, dtype=np.uint8)
    np.savez_compressed(folder / "pneumoniamnist.npz", **{**arrays, **changed})


LAYOUTS = {
    "csv": (
        own_csv,
        lambda root, **kw: otcxr_mm.CSVLabeledCXR(root, "t.csv", ("Mass", "Edema"), img_prefix="img", **kw),
    ),
    "nih": (nih, lambda root, **kw: otcxr_mm.NIHChestXray14(root, classes=("Mass", "Edema", "Hernia"), **kw)),
    "vinbig": (vinbig, lambda root, **kw: otcxr_mm.VinBigCXR(root, classes=("Cardiomegaly", "Edema"), **kw)),
    "vindr": (vindr, otcxr_mm.VinDrCXR),
    "rsna": (rsna, otcxr_mm.RSNAPneumonia),
    "siim": (siim, otcxr_mm.SIIMPneumothorax),
    "masks": (masks, otcxr_mm.CXRSegmentation),
    "npz": (npz, lambda root, **kw: otcxr_mm.MedMNISTCXR(root, "pneumoniamnist.npz", **kw)),
}
