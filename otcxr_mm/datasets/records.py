"""Images of a data set as columns, and what publishers write in their columns of age and sex."""

import re
from collections.abc import Callable
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
        patient: Patient id, (n,); '' if unknown.
        view: View position (PA, AP, ...), (n,); '' if unknown.
        split: Split that the source assigns, (n,); '' if none.
        labels: float32 (n, C): 1, 0, or NaN for unknown; None for a data set without labels.
        age: Years, float32 (n,); NaN if unknown.
        sex: 'M', 'F' or '' for unknown, (n,).
    """

    path: np.ndarray
    patient: np.ndarray | None = None
    view: np.ndarray | None = None
    split: np.ndarray | None = None
    labels: np.ndarray | None = None
    age: np.ndarray | None = None
    sex: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.path)
        for name in ("patient", "view", "split", "sex"):
            if getattr(self, name) is None:
                setattr(self, name, np.full(n, ""))
        if self.age is None:
            self.age = np.full(n, np.nan, np.float32)

    def __len__(self) -> int:
        return len(self.path)

    def take(self, rows: np.ndarray | slice) -> "Records":
        """The records of some rows (indices, mask or slice)."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return Records(**{name: None if column is None else column[rows] for name, column in columns.items()})


def _parsed(
    text: np.ndarray, parse: Callable[[str], object], hint: str, file: Path, lines: np.ndarray | None
) -> np.ndarray:
    """Applies `parse` to the fields in upper case; it returns None for a field that is wrong."""
    unique, row_of = np.unique(text, return_inverse=True)
    values = [parse(value.upper()) for value in unique.tolist()]
    if None in values:
        wrong = values.index(None)
        row = int(np.flatnonzero(row_of == wrong)[0])
        line = row + 2 if lines is None else lines[row]
        raise ValueError(f"{file}, row {line}: {str(unique[wrong])!r} is not {hint}")
    return np.array(values)[row_of]


def _years(text: str) -> float | None:
    if text in UNKNOWN:
        return np.nan
    match = AGE.fullmatch(text)
    return float(match[1]) * UNIT_YEARS[match[2]] if match else None


def parse_ages(text: np.ndarray, file: Path, lines: np.ndarray | None = None) -> np.ndarray:
    """Ages in years, from numbers of years or DICOM's age strings ('060Y', '011M', '003W', '001D').

    Args:
        text: (n,).
        file: Named in errors.
        lines: Line of `file` of each field, (n,); None if they begin at 2, one per line.

    Returns:
        float32 (n,); NaN for an empty field, or more than 120 years, which is counted and logged.

    Raises:
        ValueError: For anything else.
    """
    age = _parsed(text, _years, "an age: use years, or DICOM's form, such as '060Y'", file, lines).astype(np.float32)
    impossible = age > OLDEST
    if impossible.any():
        print_log(f"{file}: {impossible.sum()} ages above {OLDEST} years are taken as unknown", "current")
        age[impossible] = np.nan
    return age


def parse_sexes(text: np.ndarray, file: Path, lines: np.ndarray | None = None) -> np.ndarray:
    """'M', 'F' or '' from what publishers write; arguments and errors as for :func:`parse_ages`."""
    return _parsed(
        text, lambda sex: SEXES.get(sex, "" if sex in UNKNOWN else None), "a sex: use M, F or ''", file, lines
    )
