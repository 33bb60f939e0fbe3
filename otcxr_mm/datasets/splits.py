"""Which image belongs to which split; no patient to two of them."""

from pathlib import Path

import numpy as np

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


def split_from_file(image: np.ndarray, patient: np.ndarray, file: Path) -> np.ndarray:
    """Split of each image from a csv with a column `split` and one of images or patients.

    Args:
        image: File name of each image.
        patient: Patient of each image.
        file: The csv. A column of images goes before one of patients.

    Returns:
        Split of each image, '' where the file does not name it.

    Raises:
        ValueError: If a column is missing, or a key is given two splits.
    """
    table = read_csv(file, SPLIT_COLUMNS)
    key_column = first_column(table, (*IMAGE_COLUMNS, *PATIENT_COLUMNS), file, "image or patient")
    keys = table[key_column]
    split_of: dict[str, str] = {}
    for row, (key, split) in enumerate(zip(keys.tolist(), table["split"].tolist(), strict=True), 2):
        if split_of.setdefault(key, split) != split:
            raise ValueError(f"{file}, row {row}: {key} is in {split!r} here and in {split_of[key]!r} further up")
    own = image if key_column in IMAGE_COLUMNS else patient
    return np.array([split_of.get(key, "") for key in own.tolist()])
