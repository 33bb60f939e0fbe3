"""The formats that fuzz.py damages: sound samples of each, and what the package reads them with."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import gdcm
import numpy as np
import pydicom
import torch
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from otcxr_mm import CSVLabeledCXR
from otcxr_mm.datasets.dicom_headers import read_headers
from otcxr_mm.datasets.records import Records
from otcxr_mm.datasets.tables import read_list
from otcxr_mm.datasets.transforms.loading import read_grey
from otcxr_mm.reports.runs import load_runs
from otcxr_mm.utils.checkpoints import load_checkpoint

for name in ("pydicom", "PIL"):
    logging.getLogger(name).setLevel(logging.CRITICAL)
PIXELS = np.arange(24 * 30, dtype=np.uint16).reshape(24, 30)


def images(folder: Path) -> list[Path]:
    """PNG, JPEG, TIFF and BMP, of 8 and 16 bits, grey and in colour."""
    folder.mkdir(exist_ok=True)
    grey, colour = PIXELS.astype(np.uint8), np.dstack([PIXELS.astype(np.uint8)] * 3)
    made = {"a.png": grey, "b.png": PIXELS * 90, "c.png": colour, "a.jpg": grey, "b.jpg": colour, "a.bmp": grey}
    made |= {"a.tif": grey, "b.tif": PIXELS * 90}
    for file, pixels in made.items():
        cv2.imwrite(str(folder / file), pixels)
    return [folder / file for file in made]


def dicoms(folder: Path) -> list[Path]:
    """DICOM of 8 and 16 bits, with a window and a rescale, and in each compressed syntax."""
    folder.mkdir(exist_ok=True)
    tags = dict(RescaleSlope="2", RescaleIntercept="-100", WindowCenter="300", WindowWidth="200", PatientAge="050Y")
    _dicom(folder / "a.dcm", PIXELS.astype(np.uint8), PatientID="P1")
    _dicom(folder / "b.dcm", PIXELS, **tags)
    coded = _dicom(folder / "c.dcm", PIXELS)
    coded.compress(RLELossless, PIXELS)
    coded.save_as(folder / "c.dcm")
    coded = _dicom(folder / "d.dcm", PIXELS.astype(np.uint8))
    jpeg = cv2.imencode(".jpg", PIXELS.astype(np.uint8))[1].tobytes()
    coded.file_meta.TransferSyntaxUID, coded.PixelData = JPEGBaseline8Bit, pydicom.encaps.encapsulate([jpeg])
    coded.save_as(folder / "d.dcm")
    kinds = ("JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "JPEGExtendedProcess2_4")
    for kind in kinds:
        _transcode(folder / "b.dcm", folder / f"{kind}.dcm", kind)
    return [folder / f"{name}.dcm" for name in (*"abcd", *kinds)]


def _transcode(source: Path, target: Path, kind: str) -> None:
    """Writes a DICOM in another transfer syntax."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(source))
    reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, kind)))
    change.SetInput(reader.GetImage())
    change.Change()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(target))
    if not writer.Write():
        raise RuntimeError(f"{target}: GDCM cannot write {kind}")


def _dicom(path: Path, pixels: np.ndarray, **tags: str) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data.PhotometricInterpretation, data.SamplesPerPixel, data.PixelRepresentation = "MONOCHROME2", 1, 0
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated = data.BitsStored = 8 * pixels.itemsize
    data.HighBit = data.BitsStored - 1
    for key, value in tags.items():
        setattr(data, key, value)
    data.PixelData = pixels.tobytes()
    data.save_as(path, enforce_file_format=True)
    return data


def tables(folder: Path) -> list[Path]:
    """A csv of labels, and a list."""
    folder.mkdir(exist_ok=True)
    rows = [f'{i}.png,p{i // 2},{("train", "test")[i // 4]},{20 + i},F,PA,{i % 2},"{i % 3 == 0:d}"' for i in range(8)]
    (folder / "t.csv").write_text("\n".join(["path,patient,split,age,sex,view,Mass,Edema", *rows]) + "\n")
    (folder / "t.txt").write_text("".join(f"{i}.png\n" for i in range(8)))
    return [folder / "t.csv", folder / "t.txt"]


def records(folder: Path) -> list[Path]:
    """The record of a test, and its predictions."""
    folder.mkdir(exist_ok=True)
    test = dict(type="A", split="test", images=4, patients=4, sha256="a" * 64, classes=["Mass", "Edema"])
    record = dict(task="classification", method="m", protocol="linear", config="c", seed=0, fraction=1.0, draw=0)
    (folder / "results.json").write_text(json.dumps({**record, "train": {"sha256": None}, "test": test, "details": {}}))
    columns = dict.fromkeys(("labels", "scores"), np.eye(4)[:, :2])
    np.savez_compressed(folder / "predictions.npz", patient=np.arange(4), sample_idx=np.arange(4), **columns)
    return [folder / "results.json", folder / "predictions.npz"]


def checkpoints(folder: Path) -> list[Path]:
    """A checkpoint of MMEngine, and a state dict in torch's format without checksums."""
    folder.mkdir(exist_ok=True)
    state = {"backbone.w": torch.arange(30.0), "head.b": torch.ones(3, dtype=torch.float16)}
    torch.save({"meta": {"iter": 3, "cfg": "a = 1\n"}, "state_dict": state, "message_hub": {}}, folder / "a.pth")
    torch.save(state, folder / "b.pth", _use_new_zipfile_serialization=False)
    return [folder / "a.pth", folder / "b.pth"]


def read_dicom(path: Path) -> None:
    """The header alone, and the image."""
    read_headers(Records(np.array([path.name])), path.parent, "fuzz")
    read_grey(str(path))


def read_table(path: Path) -> None:
    """A csv as a data set, or a list."""
    if path.suffix == ".csv":
        CSVLabeledCXR(str(path.parent), path.name, ["Mass", "Edema"], lazy_init=True).load_records()
    else:
        read_list(path)


FORMATS: dict[str, tuple[Callable[[Path], list[Path]], Callable[[Path], object]]] = {
    "image": (images, lambda path: read_grey(str(path))),
    "dicom": (dicoms, read_dicom),
    "table": (tables, read_table),
    "record": (records, lambda path: load_runs([path.parent])),
    "checkpoint": (checkpoints, load_checkpoint),
}
