"""Two images of one patient as the two views of a sample."""

import re

import numpy as np

from .patients import normal_ids
from .records import Records

_FRONTAL = re.compile(r"(AP|PA)\b.*")
_LATERAL = re.compile(r"(LL|RL|LAT|LATERAL)\b.*|.*\bLATERAL")


def projection(view: str) -> str:
    """``'frontal'`` for any PA or AP, ``'lateral'`` for any lateral view, otherwise the view position as written."""
    view = view.strip().upper().replace("_", " ")
    if _FRONTAL.fullmatch(view):
        return "frontal"
    return "lateral" if _LATERAL.fullmatch(view) else view


class PatientPairs:
    """Draws another image of the same patient, which the second view of a sample is cut from.

    Both images are in the data set, so a pair is never across splits, and both have the same projection: frontal with
    frontal, lateral with lateral, unknown with unknown. Another image of the same study, where studies are known, comes
    before images of other studies. Draws depend on (seed, epoch, image), as all others do.

    Args:
        records: Images of the data set.
        share: Probability that an image gets a partner if there is one, in (0, 1].
        max_gap: Largest difference between the visits of a pair, such as 1 for consecutive ones, 0 for one study or
            visit alone; images whose visit is unknown only get a partner of the same study. None: any two images of the
            patient.
        source: The data set, named in errors.

    Raises:
        ValueError: If `share` or `max_gap` is out of range, or no image has a partner.
    """

    def __init__(self, records: Records, share: float, max_gap: float | None = None, source: str = "the data set"):
        if not 0 < share <= 1:
            raise ValueError(f"{source}: pairs.share must be above 0 and at most 1, got {share}")
        if max_gap is not None and not max_gap >= 0:
            raise ValueError(f"{source}: pairs.max_gap must be at least 0, or None, got {max_gap}")
        self.share, self.max_gap, self.visit = share, max_gap, records.visit
        group = self._groups(records)
        self.study, siblings = self._studies(records, group)
        # the rows of a group lie next to each other, in the order of visits; each image knows where its group is
        self.rows = np.lexsort((self.visit, group))
        ordered = group[self.rows]
        self.start = np.searchsorted(ordered, group, "left")
        self.stop = np.where(group < 0, self.start, np.searchsorted(ordered, group, "right"))
        together = (ordered[1:] == ordered[:-1]) & (ordered[1:] >= 0)
        if max_gap is not None:
            together &= np.diff(self.visit[self.rows]) <= max_gap
        # images with a partner before or behind them
        neighbours = np.zeros(len(records), dtype=bool)
        neighbours[self.rows] = np.append(together, False) | np.insert(together, 0, False)
        self.count = int((neighbours | siblings).sum())
        if not self.count:
            raise ValueError(f"{source}: pairs: {self._why_none(records)}")

    @staticmethod
    def _groups(records: Records) -> np.ndarray:
        """Number of the patient and projection of each image, (n,); -1 if the patient is unknown."""
        names, view_of = np.unique(np.asarray(records.view).astype(str), return_inverse=True)
        kinds = np.array([projection(name) for name in names.tolist()])[view_of]
        patients = normal_ids(records.patient)
        group = np.unique(np.stack([patients, kinds], 1), axis=0, return_inverse=True)[1].reshape(-1)
        return np.where(patients == "", -1, group)

    @staticmethod
    def _studies(records: Records, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of the study of each image, -1 if unknown, and whether its group has another image of it; (n,)."""
        names, study = np.unique(np.asarray(records.study).astype(str), return_inverse=True)
        study[(names[study] == "") | (group < 0)] = -1
        _, place, counts = np.unique(group * (len(names) + 1) + study, return_inverse=True, return_counts=True)
        return study, (counts[place] > 1) & (study >= 0)

    def _why_none(self, records: Records) -> str:
        if not (np.asarray(records.patient) != "").any():
            return "no patient is known: name the column with patient_column"
        if self.max_gap is not None and not np.isfinite(self.visit).any():
            return f"no visit is known, so max_gap={self.max_gap:g} leaves no pair: set it to None"
        return "no patient has two images of the same projection" + (
            "" if self.max_gap is None else f" within max_gap={self.max_gap:g} visits"
        )

    def partners(self, row: int) -> np.ndarray:
        """Rows of the images that may be the partner of an image, (k,)."""
        rows = self.rows[self.start[row] : self.stop[row]]
        rows = rows[rows != row]
        siblings = rows[(self.study[rows] == self.study[row]) & (self.study[row] >= 0)]
        if len(siblings) or self.max_gap is None:
            return siblings if len(siblings) else rows
        return rows[np.abs(self.visit[rows] - self.visit[row]) <= self.max_gap]

    def draw(self, row: int) -> int | None:
        """The partner of an image for this sample, or None: both views are then cut from the image itself."""
        if np.random.random() >= self.share:
            return None
        partners = self.partners(row)
        return int(partners[np.random.randint(len(partners))]) if len(partners) else None
