"""Assigns images to splits, and draws shares of the patients. Draws by hash are the same on every machine."""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from .image_files import stem
from .patients import PATIENT_COLUMNS, check_patient_disjoint, normal_ids, one_spelling, patient_column
from .tables import read_csv, read_list

# compared by Table.alike, which ignores case, spaces, '_' and '-'
IMAGE_COLUMNS = ("Image Index", "path", "filename", "image", "image_id")
SPLIT_COLUMNS = ("split",)


def split_from_lists(image: np.ndarray, lists: dict[str, Path]) -> np.ndarray:
    """Split of each image by its file name, from one list per split; '' if no list names it."""
    split = np.full(len(image), "", dtype=object)
    for name, file in lists.items():
        member = np.isin(image, read_list(file))
        twice = np.flatnonzero(member & (split != ""))
        if len(twice):
            raise ValueError(f"{file}: {image[twice[0]]} is also in {split[twice[0]]!r} ({len(twice)} such images)")
        split[member] = name
    return split.astype(str)


def _keys(path: np.ndarray, named: set[str]) -> list[str]:
    """The names that a file uses for the images: paths, or file names if they are not ambiguous."""
    paths = path.tolist()
    if named & set(paths):
        return paths
    names = [os.path.basename(p) for p in paths]
    twice = next((name for name, count in Counter(names).items() if count > 1 and name in named), None)
    if twice is not None:
        raise ValueError(f"{twice} is the file name of several images: name them by their path below the data root")
    return names


def split_from_file(path: np.ndarray, patient: np.ndarray, file: Path, patients: str | None = None) -> np.ndarray:
    """Split of each image, (n,), from a csv with a column `split` and one of images or patients; '' if it names none.

    A column of images (paths or file names) takes precedence over one of patients.

    Args:
        path: Path of each image below the data root, (n,).
        patient: Patient of each image, (n,).
        file: The csv.
        patients: Column of patients, '' for none; None, or a column that does not exist, to find it by name.

    Raises:
        ValueError: If a column is missing, a key has two splits or names several images, no image is named, or a
            patient in the file appears in more than one split; and as for :func:`.patients.patient_column`.
    """
    table = read_csv(file)
    splits = table[table.find(SPLIT_COLUMNS, "split")]
    column = patient_column(table, patients if patients == "" or patients in table else None)
    if column is not None:
        check_patient_disjoint(table[column], splits, str(file))
    by_patient = column is not None and not table.alike(IMAGE_COLUMNS)
    key = column if by_patient else table.find((*IMAGE_COLUMNS, *PATIENT_COLUMNS), "image or patient")
    named = normal_ids(table[key]) if by_patient else table[key]
    split_of: dict[str, str] = {}
    for row, (name, split) in enumerate(zip(named.tolist(), splits.tolist(), strict=True)):
        if split_of.setdefault(name, split) != split:
            raise table.error(row, f"{name} is in {split!r} here and in {split_of[name]!r} above")
    split_of.pop("", None)
    own = normal_ids(patient).tolist() if by_patient else _keys(path, set(split_of))
    unused = len(set(split_of) - set(own))
    if unused == len(split_of):
        raise ValueError(f"{file}: none of its {unused} entries in {key!r} names an image; one would be {own[0]!r}")
    split = np.array([split_of.get(name, "") for name in own])
    unnamed = int((split == "").sum())
    if unnamed or unused:
        print_log(f"{file}: {unnamed} images are in no split, {unused} entries name no image", "current")
    return split


def hash_share(keys: Sequence[str], salt: str) -> np.ndarray:
    """A number in [0, 1) for each key, from SHA-256: uniform, and the same on every machine and in every version."""
    digests = (hashlib.sha256(f"{salt}\n{key}".encode()).digest() for key in keys)
    return np.array([int.from_bytes(digest[:8], "big") >> 11 for digest in digests], dtype=np.float64) / 2**53


def _units(path: np.ndarray, patient: np.ndarray, source: str) -> np.ndarray:
    """The units that are drawn: patients, or images if the patient is unknown, with a warning.

    Ids are hashed as written, so that existing draws do not change.
    """
    patient = one_spelling(patient)
    known = patient != ""
    if known.all():
        return patient
    print_log(
        f"{source}: {int((~known).sum())} of {len(path)} images have no patient id and are drawn image by image: "
        "images of one patient may end up on both sides",
        "current",
        logging.WARNING,
    )
    # by file name, so that the folder does not matter; by path if a name occurs twice
    names = [stem(p) for p in path.tolist()]
    count = Counter(names)
    names = [name if count[name] == 1 else os.path.splitext(p)[0] for name, p in zip(names, path.tolist(), strict=True)]
    # a patient's key does not depend on whether some images have no patient
    return np.where(known, patient, np.char.add("image ", np.array(names)))


def split_by_hash(
    path: np.ndarray, patient: np.ndarray, shares: Sequence[tuple[str, float]], source: str = "split_by_hash"
) -> np.ndarray:
    """Split of each image by the hash of its patient, or of the image if the patient is unknown, with a warning.

    A patient's split does not depend on the other patients in the data set.

    Args:
        path: Path of each image, (n,).
        patient: Patient of each image, (n,); '' if unknown.
        shares: Pairs of a split and its share of the patients.
        source: The data set, named in the warning.
    """
    units, unit_of = np.unique(_units(path, patient, source), return_inverse=True)
    ends = np.cumsum([share for _, share in shares])[:-1]
    which = np.searchsorted(ends, hash_share(units.tolist(), "split"), side="right")
    return np.array([name for name, _ in shares])[which][unit_of]


def draw_fraction(
    path: np.ndarray, patient: np.ndarray, fraction: float, draw: int = 0, source: str = "fraction"
) -> np.ndarray:
    """Draws a fixed share of the patients with all their images, for learning from few labels.

    Patients are ordered by a hash of their id and `draw`: the 1 % are among the 5 %, and those are among the 10 %.

    Args:
        path: Path of each image.
        patient: Patient of each image; images of unknown patients are drawn one by one, with a warning.
        fraction: Share of the patients, rounded up to a whole number.
        draw: Number of the draw; each draws other patients.
        source: The data set, named in the warning.

    Returns:
        Mask of the images drawn, (n,).
    """
    units, unit_of = np.unique(_units(path, patient, source), return_inverse=True)
    order = np.argsort(hash_share(units.tolist(), f"fraction {draw}"), kind="stable")
    drawn = np.zeros(len(units), dtype=bool)
    # less than a millionth above a whole number is rounding
    drawn[order[: int(np.ceil(fraction * len(units) - 1e-6))]] = True
    return drawn[unit_of]
