"""Assigns images to splits, and no patient to more than one. Draws by hash are the same on every machine."""

import hashlib
import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ..utils.files import write_whole
from .image_files import stem
from .tables import alike, first_column, read_csv, read_list

# compared by alike(), which ignores case, spaces, '_' and '-'
IMAGE_COLUMNS = ("Image Index", "path", "filename", "image", "image_id")
PATIENT_COLUMNS = ("Patient ID", "patient", "patient number", "patient no", "pid", "mrn", "subject ID", "subject")
SPLIT_COLUMNS = ("split",)
# a column with such a word may name patients, unless another word shows that it describes them
_PERSON = re.compile(r"patient\w*|(subject|person|mrn)(s|ids?|no|nr|num|number|code|key)?")
_ABOUT = (
    *("age", "sex", "gender", "name", "weight", "height", "size", "birth", "dob", "position", "orientation", "race"),
    *("ethnic", "history", "comment", "type", "class", "status", "group", "count", "address"),
)


def _normal_id(patient: str) -> str:
    if not (patient.isascii() and patient.isdigit()):
        patient = " ".join(unicodedata.normalize("NFKC", patient).casefold().split())
        patient = re.sub(r"^([0-9]+)\.0*$", r"\1", patient)
    return patient.lstrip("0") or "0" if patient.isdigit() else patient


def normal_ids(patient: np.ndarray) -> np.ndarray:
    """Patient ids in the form in which they are compared, because tables may spell one patient in several ways.

    Case, leading zeros and zeros after the point of a number ('1', '01', '1.0'), outer and repeated spaces, and the
    Unicode form of letters do not matter.

    Args:
        patient: (n,); '' is an unknown patient, and stays ''.
    """
    written = np.asarray(patient).astype(str).tolist()
    form = {text: _normal_id(text) for text in set(written)}
    return np.array([form[text] for text in written], dtype=str)


def one_spelling(patient: np.ndarray) -> np.ndarray:
    """Patient ids as written; for a patient with several spellings, the first in sorted order."""
    written = np.asarray(patient).astype(str).tolist()
    first: dict[str, str] = {}
    spelling = {text: first.setdefault(_normal_id(text), text) for text in sorted(set(written))}
    return np.array([spelling[text] for text in written], dtype=str)


def patient_column(table: dict[str, np.ndarray], given: str | None, file: Path) -> str | None:
    """The column of a table that names patients; None if there is none.

    Args:
        table: Columns by name.
        given: The column that the user names, or '' for none; None if the user gives nothing.
        file: The file, named in errors.

    Raises:
        ValueError: If there is no column `given`. If it is None: if two columns of patients group the images
            differently, or if a column looks like one of patients but its name is not known here.
    """
    if given is not None:
        return first_column(table, (), file, "patient", given) if given else None
    filled = [name for name in table if (table[name] != "").any()]
    found = [name for name in alike(table, PATIENT_COLUMNS) if name in filled]
    ways_out = "name the column of patients with patient_column='...', or set patient_column='' if there is none"
    if not found:
        likely = next((name for name in filled if _may_name_patients(name)), None)
        if likely is not None:
            raise ValueError(
                f"{file}: column {likely!r} may name patients, who must not be in several splits: {ways_out}"
            )
        return None
    ids = [normal_ids(table[name]).tolist() for name in found]
    for name, other in zip(found[1:], ids[1:], strict=True):
        if not len(set(ids[0])) == len(set(other)) == len(set(zip(ids[0], other, strict=True))):
            raise ValueError(f"{file}: columns {found[0]!r} and {name!r} name different patients: {ways_out}")
    return found[0]


def _may_name_patients(column: str) -> bool:
    words = [word.lower() for word in re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", column)]
    about = [word.removeprefix("patient") for word in words]
    return any(map(_PERSON.fullmatch, words)) and not any(word.startswith(_ABOUT) for word in about)


def check_patient_disjoint(patient: np.ndarray, split: np.ndarray, source: str) -> None:
    """Raises an error if a patient is in more than one split.

    Args:
        patient: Patient of each image, compared as in :func:`normal_ids`; '' if unknown.
        split: Split of each image; '' for none.
        source: The data set, named in the error.

    Raises:
        ValueError: With the first of these patients and their splits.
    """
    patient = normal_ids(patient)
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
        more = f" and {len(leaking) - 3} more" if len(leaking) > 3 else ""
        raise ValueError(
            f"{source}: these patients appear in more than one split: {examples}{more}. "
            "A model tested on patients it was trained on scores too high: split by patient, not by image"
        )


def split_from_lists(image: np.ndarray, lists: dict[str, Path]) -> np.ndarray:
    """Split of each image, from one list of names per split; '' if no list names it.

    Args:
        image: File name of each image, (n,).
        lists: File of each split, with one name per line.

    Raises:
        ValueError: If two lists name an image.
    """
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
    """Split of each image from a csv with a column `split` and one of images or patients.

    Args:
        path: Path of each image below the data root.
        patient: Patient of each image.
        file: The csv. A column of images (paths or file names) takes precedence over one of patients.
        patients: Column of patients, '' for none; None, or a column that does not exist, to find it by name.

    Returns:
        Split of each image, '' if the file does not name it.

    Raises:
        ValueError: If a column is missing, a key has two splits or names several images, no image is named, or a
            patient in the file appears in more than one split; and as for :func:`patient_column`.
    """
    table = read_csv(file)
    splits = table[first_column(table, SPLIT_COLUMNS, file, "split")]
    column = patient_column(table, patients if patients == "" or patients in table else None, file)
    if column is not None:
        check_patient_disjoint(table[column], splits, str(file))
    by_patient = column is not None and not alike(table, IMAGE_COLUMNS)
    key_column = (
        column if by_patient else first_column(table, (*IMAGE_COLUMNS, *PATIENT_COLUMNS), file, "image or patient")
    )
    keys = normal_ids(table[key_column]) if by_patient else table[key_column]
    split_of: dict[str, str] = {}
    for row, (key, split) in enumerate(zip(keys.tolist(), splits.tolist(), strict=True), 2):
        if split_of.setdefault(key, split) != split:
            raise ValueError(f"{file}, row {row}: {key} is in {split!r} here and in {split_of[key]!r} above")
    if by_patient:
        split_of.pop("", None)
        if not (patient != "").any():
            raise ValueError(
                f"{file}: splits by {key_column!r}, but the data set has no patient ids: name the images instead, or "
                "give an ann_file with a column of patients"
            )
        own = normal_ids(patient).tolist()
    else:
        own = _keys(path, set(split_of))
    unused = len(set(split_of) - set(own))
    if unused == len(split_of):
        raise ValueError(
            f"{file}: none of its {unused} entries in {key_column!r} names an image; one would be {own[0]!r}"
        )
    split = np.array([split_of.get(key, "") for key in own])
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


def check_shares(shares: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """The shares of :func:`split_by_hash`, checked.

    Raises:
        ValueError: If they do not sum to 1, or a name is empty, 'all' or repeated.
    """
    shares = tuple((str(name), float(share)) for name, share in shares)
    names = [name for name, _ in shares]
    wrong = not names or len(set(names)) < len(names) or {"", "all"} & set(names)
    if wrong or any(share <= 0 for _, share in shares) or abs(sum(share for _, share in shares) - 1) > 1e-6:
        raise ValueError(
            f"split_by_hash={shares} must be pairs of a split and its share, above 0, which sum to 1, such as "
            "(('train', 0.7), ('val', 0.1), ('test', 0.2))"
        )
    return shares


def split_by_hash(
    path: np.ndarray, patient: np.ndarray, shares: Sequence[tuple[str, float]], source: str = "split_by_hash"
) -> np.ndarray:
    """Split of each image by the hash of its patient, or of the image if the patient is unknown, with a warning.

    A patient's split does not depend on the other patients in the data set.

    Args:
        path: Path of each image.
        patient: Patient of each image; '' if unknown.
        shares: Pairs of a split and its share of the patients.
        source: The data set, named in the warning.

    Returns:
        Split of each image, (n,).
    """
    shares = check_shares(shares)
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


def write_selection(path: np.ndarray, split: str, file: str | os.PathLike) -> str:
    """Writes the list of the images that were used, to publish with a result, and its digest.

    Args:
        path: Paths relative to the data root, such as `dataset.records.path`.
        split: Name for these images in the column `split`, so that `split_file=FILE, split=NAME` selects them again.
        file: The csv to write, with columns `path` and `split`, sorted by path. `FILE.sha256` is written beside it, for
            ``sha256sum -c``.

    Returns:
        SHA-256 of the csv, in hexadecimal.

    Raises:
        ValueError: If there is no image, an image is repeated, or a path or the split has a comma, a quote or a line
            break.
    """
    paths = sorted(np.asarray(path).tolist())
    if not paths or len(set(paths)) < len(paths):
        raise ValueError(f"{file}: {'an image is listed twice' if paths else 'no images'}: nothing was written")
    for text in (split, *paths):
        if not text or set(text) & set(',"\r\n'):
            raise ValueError(f"{file}: {text!r} has a comma, a quote or a line break, or is empty: rename it")
    data = "".join(["path,split\n", *(f"{p},{split}\n" for p in paths)]).encode()
    digest = hashlib.sha256(data).hexdigest()
    file = Path(file).expanduser()
    write_whole(file, data)
    write_whole(file.with_name(file.name + ".sha256"), f"{digest}  {file.name}\n".encode())
    return digest
