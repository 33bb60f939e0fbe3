"""Images of a data set as columns, and what publishers write in their columns of age and sex."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from mmengine.logging import print_log

OLDEST = 120  # years; some tables say 411
UNIT_YEARS = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
AGE = re.compile(r"(\d+(?:\.\d*)?) *([YMWD]?)")
SEXES = {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F"}
UNKNOWN = ("", "NAN", "NA", "U", "UNKNOWN", "O", "OTHER")


@dataclass
class Records:
    """Images of a data set as columns of equal length n: quick to make, and shared between workers by the fork.

    Attributes:
        path: Path relative to the data root, (n,).
        patient: Patient id, (n,); '' if unknown.
        view: View position (PA, AP, ...), (n,); '' if unknown.
        split: Split that the source assigns, (n,); '' if none.
        labels: float32 (n, C): 1, 0, or NaN for unknown; None for a data set without labels.
        age: Years, float32 (n,); NaN if unknown.
        sex: 'M', 'F' or '' for unknown, (n,).
        visit: Number that orders the images of a patient in time, such as NIH's Follow-up #, float32 (n,); NaN if
            unknown.
        study: Study (examination) that an image is of, (n,), distinct within a patient; '' if unknown.
    """

    path: np.ndarray
    patient: np.ndarray | None = None
    view: np.ndarray | None = None
    split: np.ndarray | None = None
    labels: np.ndarray | None = None
    age: np.ndarray | None = None
    sex: np.ndarray | None = None
    visit: np.ndarray | None = None
    study: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.path)
        for name in ("patient", "view", "split", "sex", "study"):
            if getattr(self, name) is None:
                setattr(self, name, np.full(n, ""))
        for name in ("age", "visit"):
            if getattr(self, name) is None:
                setattr(self, name, np.full(n, np.nan, np.float32))

    def __len__(self) -> int:
        return len(self.path)

    def take(self, rows: np.ndarray | slice) -> "Records":
        """The records of some rows (indices, mask or slice)."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return Records(**{name: None if column is None else column[rows] for name, column in columns.items()})

    @classmethod
    def concatenate(cls, parts: Sequence["Records"]) -> "Records":
        """The records of several tables, one after the other; all or none of them have labels."""
        if len(parts) == 1:
            return parts[0]
        columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(cls)}
        return cls(**{name: None if arrays[0] is None else np.concatenate(arrays) for name, arrays in columns.items()})


def _years(text: str) -> float:
    match = AGE.fullmatch(text.upper())
    age = float(match[1]) * UNIT_YEARS[match[2]] if match else np.nan
    return age if age <= OLDEST else np.nan


def _parsed(text: np.ndarray, parse: Callable[[str], float | str], what: str, source: object) -> np.ndarray:
    """Applies `parse` to each field; counts and logs those that say something, but not what they should."""
    unique, row_of = np.unique(text, return_inverse=True)
    values = np.array([parse(field) for field in unique.tolist()])
    wrong = np.isin(values.astype(str), ("", "nan")) & ~np.isin(np.char.upper(unique.astype(str)), UNKNOWN)
    if wrong.any():
        print_log(f"{source}: {int(wrong[row_of].sum())} fields are not {what} and are taken as unknown", "current")
    return values[row_of]


def parse_ages(text: np.ndarray, source: object) -> np.ndarray:
    """Ages in years, float32 (n,), from numbers of years or DICOM's age strings ('060Y', '011M', '003W', '001D').

    An empty field is NaN; so is anything else or more than 120 years, which is counted and logged with its `source`.
    """
    return _parsed(text, _years, "ages", source).astype(np.float32)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def parse_visits(text: np.ndarray, source: object) -> np.ndarray:
    """Numbers of visits, float32 (n,); arguments and unknown fields as for :func:`parse_ages`."""
    return _parsed(text, _number, "numbers of visits", source).astype(np.float32)


def visits_in_order(patient: np.ndarray, study: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Numbers the studies of each patient from 0 in the order of time, float32 (n,).

    Args:
        patient: Patient of each image, (n,).
        study: Study of each image, (n,), distinct within a patient.
        time: When it was taken, (n,), on any scale; NaN if unknown. The earliest image of a study counts.

    Returns:
        Number of the study of each image; NaN for studies of unknown time.
    """
    order = np.lexsort((study, patient))
    begins = _begins(patient[order], study[order])
    images = np.diff(np.append(begins, len(order)))  # of each study
    person, start = patient[order][begins], np.fmin.reduceat(time[order], begins)
    in_time = np.lexsort((start, person))
    first = _begins(person[in_time])
    number = np.empty(len(begins), np.float32)
    number[in_time] = np.arange(len(begins)) - np.repeat(first, np.diff(np.append(first, len(begins))))
    number[np.isnan(start)] = np.nan
    visit = np.empty(len(order), np.float32)
    visit[order] = np.repeat(number, images)
    return visit


def _begins(*columns: np.ndarray) -> np.ndarray:
    """Rows at which the value of a sorted column changes, with the first row."""
    changes = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return np.flatnonzero(np.append(True, changes))


def parse_sexes(text: np.ndarray, source: object) -> np.ndarray:
    """'M', 'F' or '' from what publishers write; arguments as for :func:`parse_ages`."""
    return _parsed(text, lambda sex: SEXES.get(sex.upper(), ""), "sexes", source)
