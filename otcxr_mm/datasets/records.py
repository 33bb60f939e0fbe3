"""Images of a data set as columns, and what publishers write in their columns of age and sex."""

import re
from dataclasses import dataclass, fields
from pathlib import Path

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
        patient: Patient id, (n,); '' if unknown. None: all are.
        view: View position (PA, AP, ...), (n,); '' if unknown. None: all are.
        split: Split that the source assigns, (n,); '' if none. None: none has one.
        labels: float32 (n, C): 1, 0, or NaN for unknown; None for a data set without labels.
        age: Years, float32 (n,), NaN if unknown. None: all are.
        sex: 'M', 'F' or '' for unknown, (n,). None: all are.
        origin: Row among the records as they were first read, (n,); counted here.
    """

    path: np.ndarray
    patient: np.ndarray | None = None
    view: np.ndarray | None = None
    split: np.ndarray | None = None
    labels: np.ndarray | None = None
    age: np.ndarray | None = None
    sex: np.ndarray | None = None
    origin: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.path)
        for name in ("patient", "view", "split", "sex"):
            if getattr(self, name) is None:
                setattr(self, name, np.full(n, ""))
        if self.age is None:
            self.age = np.full(n, np.nan, np.float32)
        if self.origin is None:
            self.origin = np.arange(n)

    def __len__(self) -> int:
        return len(self.path)

    def take(self, rows: np.ndarray | slice) -> "Records":
        """The records of some rows (indices, mask or slice)."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return Records(**{name: None if column is None else column[rows] for name, column in columns.items()})


def _line(row: int, lines: np.ndarray | None) -> int:
    return row + 2 if lines is None else int(lines[row])


def parse_ages(text: np.ndarray, file: Path, lines: np.ndarray | None = None) -> np.ndarray:
    """Ages in years, from numbers of years or DICOM's age strings ('060Y', '011M', '003W', '001D').

    Args:
        text: (n,).
        file: What errors name.
        lines: Line of `file` that each stands in, (n,); None: from 2 on, one a line.

    Returns:
        float32 (n,); NaN where nothing is said, or more than 120 years, which is counted and logged.

    Raises:
        ValueError: If something else stands there.
    """
    unique, row_of = np.unique(text, return_inverse=True)
    years = np.full(len(unique), np.nan, np.float32)
    for i, value in enumerate(unique.tolist()):
        if value.upper() in UNKNOWN:
            continue
        match = AGE.fullmatch(value.upper())
        if match is None:
            row = _line(int(np.flatnonzero(row_of == i)[0]), lines)
            raise ValueError(f"{file}, row {row}: {value!r} is not an age: use years, or DICOM's form, such as '060Y'")
        years[i] = float(match[1]) * UNIT_YEARS[match[2]]
    age = years[row_of]
    impossible = age > OLDEST
    if impossible.any():
        print_log(f"{file}: {impossible.sum()} ages above {OLDEST} years are taken as unknown", "current")
        age[impossible] = np.nan
    return age


def parse_sexes(text: np.ndarray, file: Path, lines: np.ndarray | None = None) -> np.ndarray:
    """'M', 'F' or '' from what publishers write.

    Raises:
        ValueError: If something else stands there; the message names `file` and row, see :func:`parse_ages`.
    """
    unique, row_of = np.unique(text, return_inverse=True)
    sexes = []
    for i, value in enumerate(unique.tolist()):
        if value.upper() not in SEXES and value.upper() not in UNKNOWN:
            row = _line(int(np.flatnonzero(row_of == i)[0]), lines)
            raise ValueError(f"{file}, row {row}: {value!r} is not a sex: use M, F or ''")
        sexes.append(SEXES.get(value.upper(), ""))
    return np.array(sexes)[row_of]
