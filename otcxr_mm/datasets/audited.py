"""A data set with everything by which the leak audit recognises its patients and images."""

import os
from collections.abc import Mapping

import numpy as np

from .base import BaseCXRDataset
from .image_files import stem
from .splits import normal_ids

NIH = "NIH ChestX-ray14"
# beginnings of the names of collections whose images come from another collection: RSNA (its own list of NIH's names),
# SIIM-ACR (Filice et al., J Digit Imaging 2020; no list), ChestMNIST and PneumoniaMNIST (Yang et al., Scientific Data
# 2023), Kaggle's VinBigData (vindr.ai/datasets/cxr; the same names)
CONTAINED = {
    "rsna": NIH,
    "siim": NIH,
    "chestmnist": NIH,
    "pneumoniamnist": "Kermany's radiographs of children",
    "vinbigdata": "VinDr-CXR",
}


class AuditedSet:
    """A data set of a split, without wrappers, and what identifies its patients and images, '' where unknown.

    Attributes:
        collection: What the patient ids belong to: a published collection, or the data root.
        source: The collection that contains this one, or else this one.
        patient: Patient of each image.
        nih_patient: The same in NIH's collection.
        files: Absolute path of each image.
        inodes: Device and inode of each image, which all its links share.
        image: Name of each image in `source`.
        traced: Number of images whose original in a containing collection is known.
        pixels: Digest of each image's pixels, if they are compared.
        store: Folder that the images are packed in, if they are.
        form: Size that they were packed at.
    """

    def __init__(self, split: str, name: str, dataset: BaseCXRDataset, origins: Mapping[str, str]) -> None:
        dataset.full_init()
        self.split, self.name, self.dataset = split, name, dataset
        paths = dataset.records.path.tolist()
        self.root = os.path.realpath(dataset.root)
        self.collection = dataset.collection or self.root
        self.parent = next((c for key, c in CONTAINED.items() if self.collection.lower().startswith(key)), None)
        self.source = self.parent or self.collection
        self.patient = normal_ids(dataset.records.patient).tolist()
        self.files = [os.path.join(self.root, path) for path in paths]
        self.inodes = list(map(_inode, self.files))
        self.store = None if dataset.packed is None else dataset.packed.folder
        self.form = "not packed" if dataset.packed is None else f"packed at {dataset.packed.record['size']}"
        self.pixels: list[str] = []
        name_of = getattr(dataset, "image_id", stem) if dataset.collection else lambda path: ""
        self.image = list(map(name_of, paths))
        self.nih_patient, self.traced = self.patient, 0
        if self.parent is not None:
            known = {**getattr(dataset, "original_of", {}), **origins}
            original = [known.get(name, "") for name in self.image]
            self.traced = len(original) - original.count("")
            # NIH's file names begin with the patient's number
            self.nih_patient = normal_ids(np.array([name.split("_")[0] for name in original])).tolist()
            # an image may have kept its original name
            self.image = [name or own for name, own in zip(original, self.image, strict=True)]

    def row(self) -> dict:
        """What the table of the audit says about it."""
        return {
            "name": self.name,
            "type": type(self.dataset).__name__,
            "collection": self.collection,
            "images": len(self.patient),
            "patients": len(set(self.patient) - {""}),
            "without_id": self.patient.count(""),
        }


def _inode(file: str) -> str:
    try:
        status = os.stat(file)
    except OSError:
        return ""
    return f"{status.st_dev} {status.st_ino}"
