"""Which image belongs to which split; no patient to two of them."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from .tables import first_column, read_csv, read_list

IMAGE_COLUMNS = ("Image Index", "path", "filename", "image", "image_id")
PATIENT_COLUMNS = ("Patient ID", "patient", "patient_id", "PatientID", "subject_id")
SPLIT_COLUMNS = ("split",)


def check_patient_disjoint(patient: np.ndarray, split: np.ndarray, source: str) -> None:
    """Fails when a patient stands in two splits.

    Args:
        patient: Patient of each image; '' is an unknown one.
        split: Split of each image; '' is none.
        source: What the error names.

    Raises:
        ValueError: With the first patients that leak, and where.
    """
    known = (patient != "") & (split != "")
    patients, owner = np.unique(patient[known], return_inverse=True)
    names, code = np.unique(split[known], return_inverse=True)
    lowest = np.full(len(patients), len(names))
    highest = np.full(len(patients), -1)
    np.minimum.at(lowest, owner, code)
    np.maximum.at(highest, owner, code)
    leaking = np.flatnonzero(lowest < highest)
    if len(leaking):
        examples = ", ".join(f"{patients[i]} ({names[lowest[i]]}, {names[highest[i]]})" for i in leaking[:3])
        raise ValueError(
            f"{source}: {len(leaking)} patients stand in two splits: {examples}{', ...' if len(leaking) > 3 else ''}. "
            "A model tested on patients it was trained on reports too high a number: split by patient, not by image"
        )


def split_from_lists(image: np.ndarray, lists: dict[str, Path]) -> np.ndarray:
    """Split of each image from one list of names a split; '' where no list names it.

    Raises:
        ValueError: If two lists name an image.
    """
    split = np.full(len(image), "", dtype=object)
    for name, file in lists.items():
        member = np.isin(image, read_list(file))
        twice = np.flatnonzero(member & (split != ""))
        if len(twice):
            raise ValueError(f"{file}: {image[twice[0]]} stands in {split[twice[0]]!r} too ({len(twice)} such images)")
        split[member] = name
    return split.astype(str)


def _keys(path: np.ndarray, named: set[str]) -> list[str]:
    """How the images are called in a file: by path, or by file name where that is not ambiguous."""
    paths = path.tolist()
    if named & set(paths):
        return paths
    names = [os.path.basename(p) for p in paths]
    twice = next((name for name, count in Counter(names).items() if count > 1 and name in named), None)
    if twice is not None:
        raise ValueError(f"{twice} is the file name of several images: name them by their path below the data root")
    return names


def split_from_file(path: np.ndarray, patient: np.ndarray, file: Path) -> np.ndarray:
    """Split of each image from a csv with a column `split` and one of images or patients.

    Args:
        path: Path of each image below the data root.
        patient: Patient of each image.
        file: The csv. A column of images (paths, or file names) goes before one of patients.

    Returns:
        Split of each image, '' where the file does not name it.

    Raises:
        ValueError: If a column is missing, a key is given two splits or names several images, no image is named, or a
            patient of the file stands in two splits.
    """
    table = read_csv(file, SPLIT_COLUMNS)
    for column in PATIENT_COLUMNS:
        if column in table:
            check_patient_disjoint(table[column], table["split"], str(file))
    key_column = first_column(table, (*IMAGE_COLUMNS, *PATIENT_COLUMNS), file, "image or patient")
    keys = table[key_column]
    split_of: dict[str, str] = {}
    for row, (key, split) in enumerate(zip(keys.tolist(), table["split"].tolist(), strict=True), 2):
        if split_of.setdefault(key, split) != split:
            raise ValueError(f"{file}, row {row}: {key} is in {split!r} here and in {split_of[key]!r} further up")
    if key_column in PATIENT_COLUMNS:
        # tables differ in whether they pad a patient's number with zeros
        split_of = {key.lstrip("0"): split for key, split in split_of.items()}
        split_of.pop("", None)
        if not (patient != "").any():
            raise ValueError(
                f"{file}: splits by {key_column!r}, but the data set knows no patients: name the images instead, or "
                "give an ann_file with a column of patients"
            )
        own = [p.lstrip("0") for p in patient.tolist()]
    else:
        own = _keys(path, set(split_of))
    unused = len(set(split_of) - set(own))
    if unused == len(split_of):
        raise ValueError(f"{file}: none of its {unused} entries in {key_column!r} names an image; {own[0]!r} is one")
    split = np.array([split_of.get(key, "") for key in own])
    unnamed = int((split == "").sum())
    if unnamed or unused:
        print_log(f"{file}: {unnamed} images are in no split, {unused} entries name no image", "current")
    return split
