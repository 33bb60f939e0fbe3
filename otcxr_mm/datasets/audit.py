"""Checks whether evaluation uses patients or images that training has seen."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from pathlib import Path

import numpy as np

from ..utils.markdown import markdown
from .base import BaseCXRDataset
from .content import file_digests, pixel_digests
from .image_files import resolve, stem
from .inspection import ROLES, leaves
from .splits import normal_ids
from .synthetic import SyntheticCXR
from .tables import read_csv

PRETRAIN = "pretrain/"
# beginnings of the names of collections whose images come, or are believed to come, from another collection
NIH = "NIH ChestX-ray14"
CONTAINED = {
    "rsna": NIH,
    "siim": NIH,
    "chestmnist": NIH,
    "pneumoniamnist": "Kermany's radiographs of children",
    "vinbigdata": "VinDr-CXR",
}
NAMED = 10
PRETRAINED = (
    "This is not a leak, because pre-training uses no labels. But choices made on validation, such as weight decay or "
    "the best checkpoint, rely on features pre-trained on these very images: validation figures are optimistic, test "
    "figures are not affected. For an untouched validation set, pre-train on the split 'train' only"
)


@dataclass(frozen=True)
class Overlap:
    """What two data sets, or two splits, have in common.

    Attributes:
        kind: ``'patients'``, ``'images'`` (the same file) or ``'pixels'`` (different files with the same content).
        first: Name of the first set.
        second: Name of the second set; the same as `first` for images that a split lists twice.
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

    @property
    def pretrained(self) -> bool:
        """Whether pre-training shares it with the validation set of the later run."""
        return self.first.startswith(f"{PRETRAIN}train") and self.second.startswith("val")

    def describe(self, show_ids: bool = False) -> str:
        """Describes the overlap in one line; `show_ids` adds up to 10 names and the number of the others."""
        within = self.first == self.second
        what = {"images": "image files", "pixels": "pairs of files with the same content"}.get(self.kind, self.kind)
        text = f"{self.first}: {len(self.names)} {what}" if within else f"{self.first} and {self.second}: "
        if within:
            text += " listed more than once" if self.kind == "images" else ""
        else:
            text += f"{len(self.names)} {what} ({self.images[0]} and {self.images[1]} images)"
        if show_ids:
            more = len(self.names) - NAMED
            text += ": " + ", ".join(self.names[:NAMED]) + (f", and {more} more" if more > 0 else "")
        return text


@dataclass(frozen=True)
class Audit:
    """The findings of :func:`audit`.

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

    @property
    def summary(self) -> str:
        """The last line of the text."""
        found = f"{len(self.leaks)} leaks" if self.leaks else "no leak found"
        if any(overlap.pretrained for overlap in self.overlaps):
            found += ", but pre-training has seen validation data: see the note"
        return found

    def text(self, show_ids: bool = False) -> str:
        """A Markdown table of the sets, then one line per overlap and per note.

        Args:
            show_ids: Whether patient ids and paths may be printed.
        """
        head = ("set", "type", "patient ids from", "images", "patients", "without id")
        rows = []
        for row in self.sets:
            collection = row["collection"]
            if os.path.isabs(collection) and not show_ids:
                collection = "its own folder"
            rows.append([row["name"], row["type"], collection, row["images"], row["patients"], row["without_id"]])
        lines = markdown(head, rows)
        lines += [("LEAK: " if o.leak else "shared: ") + o.describe(show_ids) for o in self.overlaps]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, self.summary])

    def check(self, show_ids: bool = True) -> None:
        """Raises an error if there is a leak.

        Args:
            show_ids: Whether the message names patients and paths, up to 10.

        Raises:
            ValueError: With the leaks.
        """
        if self.leaks:
            lines = "\n".join(f"  {leak.describe(show_ids)}" for leak in self.leaks)
            raise ValueError(
                f"leak between training and evaluation:\n{lines}\nA model tested on patients it was trained on scores "
                "too high: split by patient, with the official lists, split_by_hash or a split_file"
            )


class _Part:
    """A data set of a split, without wrappers, with its patients and images as comparable keys.

    Attributes:
        patients: Name of the source of the ids -> patient of each image, '' if unknown.
        images: Name of the source of the names -> name of each image, '' if unknown.
        files: Absolute path of each image, with links resolved; the same path for all hard links of a file.
    """

    def __init__(
        self,
        split: str,
        name: str,
        dataset: BaseCXRDataset,
        origins: Mapping[str, str],
        listed: dict[str, dict[str, int]],
    ) -> None:
        dataset.full_init()
        self.split, self.name, self.dataset = split, name, dataset
        records, root = dataset.records, os.path.realpath(dataset.root)
        self.patient = normal_ids(records.patient).tolist()
        self.collection = dataset.collection or root
        paths = records.path.tolist()
        # if the files are gone or never existed, use the packed images
        if dataset.packed is not None and not os.path.exists(os.path.join(root, paths[0])):
            root = os.path.realpath(dataset.packed.folder)
        self.files, self.inodes = resolve(root, paths, listed)
        self.patients = {self.collection: self.patient, root: self.patient}
        self.images = {"": self.files}
        self.parent = next((c for key, c in CONTAINED.items() if self.collection.lower().startswith(key)), None)
        self.source = self.parent or self.collection
        self.traced = 0
        # ignore the extension: a collection may be stored as DICOM and converted
        name_of = getattr(dataset, "image_id", stem)
        names = [name_of(path) for path in paths]
        # drawings with the same seed also depend on their size
        if dataset.collection and not isinstance(dataset, SyntheticCXR):
            self.images[self.collection] = names
        if self.parent is not None:
            bases = names if name_of is not stem else map(os.path.basename, paths)
            original = [origins.get(base, origins.get(name, "")) for base, name in zip(bases, names, strict=True)]
            self.traced = len(original) - original.count("")
            # an image may have kept its original id
            self.images[self.parent] = [image or name for image, name in zip(original, names, strict=True)]
            if self.parent == NIH:
                # its file names begin with the patient's number
                self.patients[NIH] = normal_ids(np.array([image.split("_")[0] for image in original])).tolist()

    def row(self) -> dict:
        known = set(self.patient) - {""}
        return {
            "name": self.name,
            "type": type(self.dataset).__name__,
            "collection": self.collection,
            "images": len(self.patient),
            "patients": len(known),
            "without_id": self.patient.count(""),
        }


def audit(
    datasets: Mapping[str, object],
    pixels: bool | str = False,
    origins: str | os.PathLike | None = None,
    jobs: int = 0,
) -> Audit:
    """Compares the data sets of a run with each other, patient by patient and image by image.

    Two patients are the same if their ids (:func:`otcxr_mm.datasets.splits.normal_ids`) and their collections are
    equal; without a published collection, the data roots must be equal or one inside the other. Two images are the
    same if their file is, even through symbolic and hard links. It is a leak if training shares anything with
    validation or test of the same run, or pre-training with test of the later run. What pre-training shares with
    validation is a note; everything else is only reported.

    Args:
        datasets: Data sets by name: ``'train'``, ``'val'``, ``'test'``, and ``'pretrain/train'`` and so on for the
            earlier run; wrappers such as ConcatDataset are unwrapped.
        pixels: Whether to read the images and compare their content. True or ``'decoded'`` compares decoded pixels
            (those of the packed images if a set is packed). ``'bytes'`` compares whole files, and only reads files of
            equal size: this is fast, but misses images that were saved again. Files that cannot be read are counted in
            the notes.
        origins: A csv with the columns `image` and `original`, which gives for images of a contained collection (RSNA,
            SIIM-ACR; ChestMNIST's are called `train/000017`) the image of the containing one (NIH's file name).
        jobs: Number of threads that read images; 0 for one per core.

    Returns:
        The findings.

    Raises:
        ValueError: If the name of a split or `pixels` is not one of these.
    """
    if pixels not in (True, False, "decoded", "bytes"):
        raise ValueError(f"pixels must be one of False, True, 'decoded', 'bytes', got {pixels!r}")
    mapping = _read_origins(Path(origins)) if origins is not None else {}
    parts: list[_Part] = []
    listed: dict[str, dict[str, int]] = {}
    notes: list[str] = []
    for split, dataset in datasets.items():
        if split.removeprefix(PRETRAIN) not in ROLES:
            raise ValueError(f"a split must be one of {ROLES}, after 'pretrain/' for the earlier run, got {split!r}")
        inner = list(leaves(dataset))
        for i, leaf in enumerate(inner):
            name = f"{split}[{i}]" if len(inner) > 1 else split
            if isinstance(leaf, BaseCXRDataset):
                parts.append(_Part(split, name, leaf, mapping, listed))
            else:
                notes.append(f"{name}: {type(leaf).__name__} is not a data set of otcxr_mm and was not audited")
    _unite_hard_links(parts)
    _unite_nested_roots(parts)
    overlaps = [o for part in parts for o in _twice(part)]
    for a, b in combinations(parts, 2):
        overlaps += _between(a, b)
    overlaps += _pixel_overlaps(parts, pixels, jobs, notes) if pixels else []
    pretrained = "; ".join(overlap.describe() for overlap in overlaps if overlap.pretrained)
    notes = [f"{pretrained}. {PRETRAINED}"] * bool(pretrained) + notes + _notes(parts)
    overlaps.sort(key=lambda overlap: not overlap.leak)
    return Audit([part.row() for part in parts], overlaps, notes)


def _read_origins(file: Path) -> dict[str, str]:
    table = read_csv(file, ("image", "original"))
    return dict(zip(table["image"].tolist(), map(stem, table["original"].tolist()), strict=True))


def _unite_hard_links(parts: Sequence[_Part]) -> None:
    """Gives all hard links of a file the same path, preferably that in an evaluated set."""
    # evaluated sets first
    parts = sorted(parts, key=lambda part: part.split.endswith("train"))
    first: dict[int, str] = {}
    pairs = ((inode, file) for part in parts for inode, file in zip(part.inodes, part.files, strict=True))
    linked = {inode for inode, file in pairs if inode and first.setdefault(inode, file) != file}
    links: dict[int, list[str]] = {inode: [] for inode in linked}
    for part in parts if linked else ():
        for i, (inode, file) in enumerate(zip(part.inodes, part.files, strict=True)):
            if inode in linked:
                # equal inodes on two devices are different files
                same = next((link for link in links[inode] if os.path.samefile(link, file)), file)
                part.files[i] = same
                links[inode].append(same)


def _unite_nested_roots(parts: Sequence[_Part]) -> None:
    """Makes ids comparable between data sets without a published collection if one root is inside the other."""
    own = [part for part in parts if not part.dataset.collection]
    for outer, inner in permutations(own, 2):
        if Path(inner.collection).is_relative_to(outer.collection):
            space = f"{inner.collection} in {outer.collection}"
            outer.patients[space], inner.patients[space] = outer.patient, inner.patient


def _leaks(a: str, b: str) -> bool:
    """Whether an overlap of two splits is a leak."""
    train, other = (a, b) if a.endswith("train") else (b, a)
    if other.endswith("train") or not train.endswith("train"):
        return False
    # pre-training without labels may use validation images, and has no evaluation of its own
    return train.startswith(PRETRAIN) == other.startswith(PRETRAIN) or other == "test"


def _ordered(a: _Part, b: _Part) -> tuple[_Part, _Part]:
    """Orders two parts, the one that is trained on first."""
    return (b, a) if b.split.endswith("train") and not a.split.endswith("train") else (a, b)


def _twice(part: _Part) -> list[Overlap]:
    twice = {file: n for file, n in Counter(part.files).items() if n > 1}
    if not twice:
        return []
    return [Overlap("images", part.name, part.name, tuple(sorted(twice)), (sum(twice.values()), 0), False)]


def _shared(a: Mapping[str, list[str]], b: Mapping[str, list[str]]) -> tuple[set[int], dict[int, str]]:
    """Rows of `a` whose key is also in `b`, and rows of `b` whose key is also in `a`, with that key."""
    rows_a: set[int] = set()
    key_of: dict[int, str] = {}
    for space in sorted(a.keys() & b.keys()):
        common = (set(a[space]) & set(b[space])) - {""}
        if common:
            rows_a.update(i for i, key in enumerate(a[space]) if key in common)
            key_of.update({i: key for i, key in enumerate(b[space]) if key in common})
    return rows_a, key_of


def _between(a: _Part, b: _Part) -> list[Overlap]:
    """Patients and files that two data sets share, named as in the one that is evaluated."""
    a, b = _ordered(a, b)
    leak = _leaks(a.split, b.split)
    found = []
    rows, patient_of = _shared(a.patients, b.patients)
    if rows:
        names = tuple(sorted(set(patient_of.values())))
        found.append(Overlap("patients", a.name, b.name, names, (len(rows), len(patient_of)), leak))
    rows, image_of = _shared(a.images, b.images)
    if rows:
        names = tuple(sorted({b.files[i] for i in image_of}))
        found.append(Overlap("images", a.name, b.name, names, (len(rows), len(image_of)), leak))
    return found


def _notes(parts: Sequence[_Part]) -> list[str]:
    """Notes on what the audit cannot know."""
    notes = []
    for part in parts:
        unknown = part.patient.count("")
        if unknown:
            amount = "" if unknown == len(part.patient) else f" for {unknown} of {len(part.patient)} images"
            notes.append(f"{part.name}: no patient id{amount}: shared patients cannot be ruled out")
    for a, b in combinations(parts, 2):
        a, b = _ordered(a, b)
        if not _leaks(a.split, b.split):
            continue
        if a.collection != b.collection and a.source == b.source:
            notes.append(_containment(a, b))
            continue
        for inner, other in ((a, b), (b, a)):
            if inner.parent and not other.dataset.collection and not inner.patients.keys() & other.patients.keys():
                notes.append(
                    f"{a.name} and {b.name}: images of {inner.collection} come, as far as is known, from "
                    f"{inner.parent}: if those of {other.name} do as well, the same patients may be in both"
                )
        if not a.patients.keys() & b.patients.keys() and any(a.patient) and any(b.patient):
            equal = len((set(a.patient) & set(b.patient)) - {""})
            notes.append(
                f"{a.name} and {b.name}: patient ids are from different collections and were not compared"
                + (f" ({equal} are equal: a leak if both come from one source)" if equal else "")
            )
    return notes


def _containment(a: _Part, b: _Part) -> str:
    inner = [part for part in (a, b) if part.parent]
    untraced = [f"{len(p.patient) - p.traced} of {p.name}" for p in inner if p.traced < len(p.patient)]
    whose = " and ".join(part.collection for part in inner)
    text = f"{a.name} and {b.name}: images of {whose} come, as far as is known, from {a.source}"
    if not untraced:
        return f"{text}; all were compared by their originals"
    return (
        f"{text}: the same patients may be in both, which their ids do not show. Images without a known original: "
        f"{', '.join(untraced)}; name the originals with origins=FILE.csv (columns image, original), or compare pixels"
    )


def _pixel_overlaps(parts: Sequence[_Part], pixels: bool | str, jobs: int, notes: list[str]) -> list[Overlap]:
    """Different files with the same content, between the data sets and within each."""
    if pixels == "bytes":
        without = [part for part in parts if "img" in part.dataset.get_data_info(0)]
        for part in without:
            why = "packed" if part.dataset.packed is not None else "all images in one file"
            notes.append(f"{part.name}: {why}, no files to compare; compare decoded pixels instead")
        parts = [part for part in parts if part not in without]
        digests = file_digests([part.files for part in parts], jobs)
    else:
        digests = pixel_digests([(part.dataset, part.files) for part in parts], jobs)
        notes += _packed_otherwise({part.name: next(iter(d)) for part, d in zip(parts, digests, strict=True)})
    overlaps = []
    for part, spaces in zip(parts, digests, strict=True):
        unread = next(iter(spaces.values())).count(None)
        if unread:
            notes.append(f"{part.name}: {unread} of {len(part.files)} images cannot be read and were not compared")
    for part, spaces in zip(parts, digests, strict=True):
        pairs = _pairs_within(part.files, next(iter(spaces.values())))
        if pairs:
            images = len({file for pair in pairs for file in pair})
            overlaps.append(Overlap("pixels", part.name, part.name, _names(pairs), (images, 0), False))
    for (a, da), (b, db) in combinations(list(zip(parts, digests, strict=True)), 2):
        if _ordered(a, b)[0] is b:
            a, da, b, db = b, db, a, da
        pairs = {pair for space in da.keys() & db.keys() for pair in _pairs(a.files, da[space], b.files, db[space])}
        if pairs:
            images = len({pair[0] for pair in pairs}), len({pair[1] for pair in pairs})
            overlaps.append(Overlap("pixels", a.name, b.name, _names(pairs), images, _leaks(a.split, b.split)))
    return overlaps


def _packed_otherwise(forms: Mapping[str, tuple | None]) -> list[str]:
    """Notes on overlaps that different packed sizes or depths may hide; `forms` gives size and depth by name."""
    notes = []
    for (a, form_a), (b, form_b) in combinations([(name, form) for name, form in forms.items() if form], 2):
        if form_a[0] != form_b[0]:
            notes.append(
                f"{a} and {b}: packed at different sizes ({form_a[0]} and {form_b[0]}), pixels were not compared"
            )
        elif form_a[1] != form_b[1]:
            notes.append(
                f"{a} and {b}: packed with {form_a[1]} and {form_b[1]} bits, pixels were compared at 8 bits: overlaps "
                "of 16-bit files may be missed"
            )
    return notes


def _names(pairs: set[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{first} = {second}" for first, second in sorted(pairs))


def _pairs_within(files: list[str], content: list[bytes | None]) -> set[tuple[str, str]]:
    first: dict[bytes, str] = {}
    pairs = set()
    for file, digest in zip(files, content, strict=True):
        if digest and first.setdefault(digest, file) != file:
            pairs.add((first[digest], file))
    return pairs


def _pairs(
    files_a: list[str], a: list[bytes | None], files_b: list[str], b: list[bytes | None]
) -> set[tuple[str, str]]:
    """Pairs of different files with the same content; identical files are found without reading."""
    first = dict(zip(reversed(a), reversed(files_a), strict=True))
    same = {(digest, file) for digest, file in zip(a, files_a, strict=True)}
    return {
        (first[digest], file)
        for digest, file in zip(b, files_b, strict=True)
        if digest and digest in first and (digest, file) not in same
    }
