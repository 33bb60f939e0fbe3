"""Patient ids: how tables name and spell them, and that no patient is in two splits."""

import re
import unicodedata

import numpy as np

from .tables import Table

# compared by Table.alike, which ignores case, spaces, '_' and '-'
PATIENT_COLUMNS = ("Patient ID", "patient", "patient number", "patient no", "pid", "mrn", "subject ID", "subject")
# a column with such a word may name patients, unless another word shows that it describes them
_PERSON = re.compile(r"patient\w*|(subject|person|mrn)(s|ids?|no|nr|num|number|code|key)?")
_ABOUT = (
    *("age", "sex", "gender", "name", "weight", "height", "size", "birth", "dob", "position", "orientation", "race"),
    *("ethnic", "history", "comment", "type", "class", "status", "group", "count", "address"),
)


def _normal_id(patient: str) -> str:
    if not (patient.isascii() and patient.isdigit()):
        patient = patient if patient.isascii() else unicodedata.normalize("NFKC", patient)
        patient = " ".join(patient.casefold().split())
        if "." in patient:
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


def patient_column(table: Table, given: str | None) -> str | None:
    """The column of a table that names patients; None if there is none, or if the user says so (`given` is '').

    Raises:
        ValueError: If there is no column `given`. If it is None: if there are several columns of patients, or one that
            looks like it but whose name is not known here.
    """
    if given is not None:
        return table.find((), "patient", given) if given else None
    filled = [name for name in table if (table[name] != "").any()]
    found = [name for name in table.alike(PATIENT_COLUMNS) if name in filled]
    likely = found or [name for name in filled if _may_name_patients(name)]
    if len(found) == 1 or not likely:
        return found[0] if found else None
    raise ValueError(
        f"{table.file}: {likely} may name patients, who must not be in several splits: name the column with "
        "patient_column='...', or set patient_column='' if there is none"
    )


def _may_name_patients(column: str) -> bool:
    words = [word.lower() for word in re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", column)]
    about = [word.removeprefix("patient") for word in words]
    return any(map(_PERSON.fullmatch, words)) and not any(word.startswith(_ABOUT) for word in about)


def check_patient_disjoint(patient: np.ndarray, split: np.ndarray, source: str) -> None:
    """Raises a ValueError if a patient, as compared by :func:`normal_ids`, is in more than one split.

    Args:
        patient: Patient of each image, (n,); '' if unknown.
        split: Split of each image, (n,); '' for none.
        source: The data set, named in the error.
    """
    if len(set(np.asarray(split).tolist()) - {""}) < 2:
        return
    splits_of: dict[str, set[str]] = {}
    for one, name in {*zip(normal_ids(patient).tolist(), np.asarray(split).tolist(), strict=True)}:
        if one and name:
            splits_of.setdefault(one, set()).add(name)
    leaking = sorted(one for one, names in splits_of.items() if len(names) > 1)
    if leaking:
        examples = ", ".join(f"{one} ({', '.join(sorted(splits_of[one]))})" for one in leaking[:3])
        more = f" and {len(leaking) - 3} more" if len(leaking) > 3 else ""
        raise ValueError(
            f"{source}: these patients appear in more than one split: {examples}{more}. "
            "A model tested on patients it was trained on scores too high: split by patient, not by image"
        )
