"""Findings of the leak audit, and their text."""

import os
from dataclasses import dataclass, field

from ..utils.markdown import markdown

PRETRAIN = "pretrain/"
NAMED = 10  # of the patients or files in a line


@dataclass(frozen=True)
class Overlap:
    """What two data sets have in common.

    Attributes:
        kind: ``'patients'``, ``'images'`` (the same file) or ``'pixels'`` (different files with the same content).
        first: Name of the first set, the one that is trained on.
        second: Name of the second set.
        names: Patient ids, file paths, or pairs of file paths ``'A = B'``.
        images: Numbers of images affected in the first and the second set.
        leak: Whether it makes figures measured on `second` too high. Pre-training on validation images is not a leak.
    """

    kind: str
    first: str
    second: str
    names: tuple[str, ...]
    images: tuple[int, int]
    leak: bool

    def describe(self, show_ids: bool = False) -> str:
        """Describes the overlap in one line; `show_ids` adds up to 10 names."""
        what = {"images": "image files", "pixels": "pairs of files with the same content"}.get(self.kind, self.kind)
        text = f"{self.first} and {self.second}: {len(self.names)} {what}"
        text += f" ({self.images[0]} and {self.images[1]} images)"
        more = ", ..." if len(self.names) > NAMED else ""
        return f"{text}: {', '.join(self.names[:NAMED])}{more}" if show_ids else text


@dataclass(frozen=True)
class Audit:
    """The findings of the leak audit.

    Attributes:
        sets: One row per data set: name, type, collection, images, patients, without_id (images without a patient id).
        overlaps: Overlaps, leaks first.
        notes: What pre-training shares with validation, what could not be compared, and what is known about the
            collections.
    """

    sets: list[dict]
    overlaps: list[Overlap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def leaks(self) -> list[Overlap]:
        """Overlaps between training and evaluation."""
        return [overlap for overlap in self.overlaps if overlap.leak]

    def text(self, show_ids: bool = False) -> str:
        """A Markdown table of the sets, a line per overlap and note; `show_ids` prints patients and paths too."""
        rows = [list(row.values()) for row in self.sets]
        for row in rows:
            row[2] = "its own folder" if os.path.isabs(row[2]) and not show_ids else row[2]
        lines = markdown(("set", "type", "patient ids from", "images", "patients", "without id"), rows)
        lines += [("LEAK: " if o.leak else "shared: ") + o.describe(show_ids) for o in self.overlaps]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, f"{len(self.leaks)} leaks" if self.leaks else "no leak found"])

    def check(self) -> None:
        """Raises a ValueError if there is a leak; it names no patient."""
        if self.leaks:
            lines = "\n".join(f"  {leak.describe()}" for leak in self.leaks)
            raise ValueError(
                f"leak between training and evaluation:\n{lines}\nA model tested on patients it was trained on scores "
                "too high: split by patient, with the official lists, split_by_hash or a split_file (`otcxr audit "
                "CONFIG --show-ids` names them)"
            )
