"""Patients, ages, sexes and views from the headers of DICOM files, where no table gives them."""

import logging
import os
import re
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ..utils.threads import map_in_threads
from .image_files import DICOM_SUFFIXES, SUFFIXES
from .packed import stamp
from .records import Records, parse_ages, parse_sexes
from .splits import normal_ids
from .transforms.dicom import is_dicom
from .transforms.dicom_frames import is_deflated

TAGS = {"patient": "PatientID", "age": "PatientAge", "sex": "PatientSex", "view": "ViewPosition"}
# what tools write in place of an id that they remove, without spaces and punctuation
PLACEHOLDER = re.compile(
    "(anon(ym(ous|i[sz]ed)?)?|deidentified|unknown|undefined|none|null|na|nan|x*|no(patient)?id|(patient)?id|patient"
    "|default|removed|redacted|hidden)"
)
LONGEST = 256  # characters; a longer value is none of an id, an age, a sex or a view
# a single id in at least this many files is not believed
SEVERAL = 3
UNPROTECTED = "nothing keeps these patients out of two splits: give an ann_file with a column of patients"


def read_headers(records: Records, root: Path, source: str, patients: bool = True) -> None:
    """Fills those columns that are entirely unknown from the headers of DICOM images, in place.

    A value that is not valid DICOM is unknown. So is a patient whose id is a placeholder such as ANONYMOUS, or whose id
    is the only one in three or more files; a warning says so. No message contains an id.

    Args:
        records: Records of the images, whose paths are relative to `root`.
        root: The data root.
        source: Data set, named in messages.
        patients: Whether to read patients.
    """
    unknown = [name for name in TAGS if set(getattr(records, name).astype(str).tolist()) <= {"", "nan"}]
    unknown = [name for name in unknown if patients or name != "patient"]
    others = tuple(set(SUFFIXES) - set(DICOM_SUFFIXES))
    rows = np.flatnonzero([not path.lower().endswith(others) for path in records.path.tolist()])
    if not unknown or not len(rows):
        return
    try:
        import pydicom.config
    except ImportError:
        if "patient" in unknown:
            text = f"the headers of {len(rows)} DICOM files were not read, because pydicom is missing (otcxr_mm[dicom])"
            print_log(f"{source}: {text}; {UNPROTECTED}", "current", logging.WARNING)
        return
    files = [os.path.join(root, path) for path in records.path[rows].tolist()]
    # it would warn for each file, and quote the value
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        headers = map_in_threads(lambda file: _header(file, stamp(file)), files, "Reading DICOM headers")
    said = {name: np.array(column) for name, column in zip(TAGS, zip(*headers, strict=True), strict=True)}
    if "patient" in unknown:
        said["patient"] = _believed(said["patient"], source)
    said["age"], said["sex"] = parse_ages(said["age"], root), parse_sexes(said["sex"], root)
    for name in unknown:
        column = getattr(records, name).astype(said[name].dtype)
        column[rows] = said[name]
        setattr(records, name, column)


@cache  # splits of one folder are data sets of their own
def _header(file: str, _: tuple[int, int]) -> tuple[str, ...]:
    """Values of TAGS in a file with this stamp; '' for a missing value, or if the file cannot be read."""
    import pydicom

    nothing = ("",) * len(TAGS)
    try:
        with open(file, "rb") as stream:
            if not is_dicom(file, stream.read(132)) or is_deflated(stream):
                return nothing
            data = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=list(TAGS.values()), force=True)
        values = (str(data.get(tag) or "").strip() for tag in TAGS.values())
        return tuple(value if len(value) <= LONGEST else "" for value in values)
    except Exception:
        # pydicom raises all kinds of errors for damaged files; reading the image says what is wrong
        return nothing


def _believed(patient: np.ndarray, source: str) -> np.ndarray:
    """The ids, with '' in place of those that name no patient."""
    forms = normal_ids(patient)
    known = forms[forms != ""].tolist()
    doubted = {name for name in known if PLACEHOLDER.fullmatch(re.sub(r"[\W_]+", "", name))}
    if len(known) >= SEVERAL and len(set(known)) == 1:
        doubted = set(known)
    wrong = np.array([form in doubted for form in forms.tolist()])
    if wrong.any():
        fault = f"the PatientID of {wrong.sum()} of {len(forms)} DICOM files is a placeholder, or in all of them"
        print_log(f"{source}: {fault}, and is taken as unknown; {UNPROTECTED}", "current", logging.WARNING)
    return np.where(wrong, "", patient)
