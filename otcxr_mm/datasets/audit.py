"""Whether evaluation uses patients or images that training has seen."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
from mmengine.registry import DATASETS, DefaultScope

from .base_cxr import BaseCXRDataset
from .content import file_digests, pixel_digests
from .image_files import resolve, stem
from .splits import normal_ids
from .synthetic import SyntheticCXR
from .tables import read_csv

ROLES = ("train", "val", "test")
PRETRAIN = "pretrain/"
# beginnings of names of collections whose images come, or are believed to come, from another one
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
    "This is not a leak, as pre-training uses no labels. But choices made on validation, such as weight decay or the "
    "best checkpoint, have seen features pre-trained on these very images: validation figures flatter, test figures "
    "are not affected. For an untouched validation set, pre-train on the split 'train' only"
)


@dataclass(frozen=True)
class Overlap:
    """What two data sets, or two splits, have in common.

    Attributes:
        kind: ``'patients'``, ``'images'`` (the same file) or ``'pixels'`` (other files of the same content).
        first: Name of the one.
        second: Name of the other; the same as `first` for images that a split holds twice.
        names: Patient ids, file paths, or pairs of file paths ``'A = B'``.
        images: Images concerned in the one and in the other.
        leak: Whether figures measured on `second` are too high for it. Pre-training on validation images is not a leak.
    """

    kind: str
    first: str
    second: str
    names: tuple[str, ...]
    images: tuple[int, int]
    leak: bool

    @property
    def pretrained(self) -> bool:
        """Whether it is what pre-training shares with validation of the run after it."""
        return self.first.startswith(f"{PRETRAIN}train") and self.second.startswith("val")

    def describe(self, show_ids: bool = False) -> str:
        """One line; with ids up to 10 names, then a count."""
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
    """What :func:`audit` found.

    Attributes:
        sets: A row a data set: name, type, collection, images, patients, without_id (images without a patient id).
        overlaps: Those that are leaks first.
        notes: What pre-training shares with validation, what could not be compared, and what is known of the
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
        """A Markdown table of the sets, then a line an overlap and a note.

        Args:
            show_ids: Whether patient ids and paths may be printed.
        """
        head = ("set", "type", "patients are those of", "images", "patients", "without id")
        rows = []
        for row in self.sets:
            collection = row["collection"]
            if os.path.isabs(collection) and not show_ids:
                collection = "a folder of its own"
            rows.append([row["name"], row["type"], collection, row["images"], row["patients"], row["without_id"]])
        lines = markdown(head, rows)
        lines += [("LEAK: " if o.leak else "shared: ") + o.describe(show_ids) for o in self.overlaps]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, self.summary])

    def check(self, show_ids: bool = True) -> None:
        """Fails if there is a leak.

        Args:
            show_ids: Whether the message names patients and paths, up to 10.

        Raises:
            ValueError: With the leaks.
        """
        if self.leaks:
            lines = "\n".join(f"  {leak.describe(show_ids)}" for leak in self.leaks)
            raise ValueError(
                f"leak between training and evaluation:\n{lines}\nA model tested on patients it was trained on reports "
                "too high a number: split by patient, with the official lists or a split_file"
            )


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table whose columns are aligned in plain text too; numbers to the right."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(head))]
    right = [bool(rows) and all(not isinstance(row[i], str) for row in rows) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True))
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * (w - 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)]
    return [line(cells[0]), line(rule), *map(line, cells[1:])]


def leaves(dataset: object) -> Iterator[object]:
    """The data sets inside ConcatDataset, RepeatDataset and the like; of a torch Subset the part that it shows."""
    inner = getattr(dataset, "datasets", None)
    if inner is not None:
        for child in inner:
            yield from leaves(child)
    elif getattr(dataset, "dataset", None) is not None:
        if hasattr(dataset, "full_init"):
            dataset.full_init()  # KFoldDataset takes its part here
        children = list(leaves(dataset.dataset))
        known = all(isinstance(child, BaseCXRDataset) for child in children)
        # only as far as the rows are those of the data sets inside
        if hasattr(dataset, "indices") and known and sum(map(len, children)) == len(dataset.dataset):
            rows, starts = np.asarray(dataset.indices), np.cumsum([0, *map(len, children)])
            inside = [rows[(rows >= a) & (rows < b)] - a for a, b in zip(starts[:-1], starts[1:], strict=True)]
            children = [child.get_subset(own) for child, own in zip(children, inside, strict=True) if len(own)]
        yield from children
    else:
        yield dataset


class _Part:
    """A data set of a split, without wrappers, with its patients and images as keys that can be compared.

    Attributes:
        patients: Name of what the ids belong to -> patient of each image, '' if unknown.
        images: Name of what the names belong to -> name of each image, '' if unknown.
        files: Absolute path of each image without links; one and the same for hard links of one file.
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
        # where the files are gone, or never were, the packed images are what there is
        if dataset.packed is not None and not os.path.exists(os.path.join(root, paths[0])):
            root = os.path.realpath(dataset.packed.folder)
        self.files, self.inodes = resolve(root, paths, listed)
        self.patients = {self.collection: self.patient, root: self.patient}
        self.images = {"": self.files}
        self.parent = next((c for key, c in CONTAINED.items() if self.collection.lower().startswith(key)), None)
        self.source = self.parent or self.collection
        self.traced = 0
        # the extension does not count: a collection is there as DICOM, and converted
        name_of = getattr(dataset, "image_id", stem)
        names = [name_of(path) for path in paths]
        # the drawings of a seed depend on their size, too
        if dataset.collection and not isinstance(dataset, SyntheticCXR):
            self.images[self.collection] = names
        if self.parent is not None:
            bases = names if name_of is not stem else map(os.path.basename, paths)
            original = [origins.get(base, origins.get(name, "")) for base, name in zip(bases, names, strict=True)]
            self.traced = len(original) - original.count("")
            # an image may have kept its id
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

    Patients are the same if their ids (:func:`otcxr_mm.datasets.splits.normal_ids`) and their collection are; without a
    published collection, if one data root is the other, or is inside it. Images are the same if their file is, also
    through symbolic and hard links. Leaks are what training shares with validation or test of the same run, and what
    pre-training shares with test of the run after it. What it shares with validation is a note; all else is reported
    only.

    Args:
        datasets: ``'train'``, ``'val'``, ``'test'``, and ``'pretrain/train'`` and so on for the run before, to data
            set; wrappers such as ConcatDataset are looked into.
        pixels: Whether to read the images, and compare their content: True or ``'decoded'`` compares decoded pixels
            (those of packed images where a set is packed), ``'bytes'`` whole files, of which only those are read that
            are equally long: fast, but an image that was saved anew is missed. Files that cannot be read are counted
            in the notes.
        origins: A csv with the columns `image` and `original`: which image of the containing collection (NIH's file
            name) an image of a contained one (RSNA, SIIM-ACR; ChestMNIST's are called `train/000017`) is.
        jobs: Threads that read images; 0: one a core.

    Returns:
        What was found.

    Raises:
        ValueError: For another name of a split, or another `pixels`.
    """
    if pixels not in (True, False, "decoded", "bytes"):
        raise ValueError(f"pixels is one of False, True, 'decoded', 'bytes', got {pixels!r}")
    mapping = _read_origins(Path(origins)) if origins is not None else {}
    parts: list[_Part] = []
    listed: dict[str, dict[str, int]] = {}
    notes: list[str] = []
    for split, dataset in datasets.items():
        if split.removeprefix(PRETRAIN) not in ROLES:
            raise ValueError(f"a split is one of {ROLES}, after 'pretrain/' for the run before, got {split!r}")
        inner = list(leaves(dataset))
        for i, leaf in enumerate(inner):
            name = f"{split}[{i}]" if len(inner) > 1 else split
            if isinstance(leaf, BaseCXRDataset):
                parts.append(_Part(split, name, leaf, mapping, listed))
            else:
                notes.append(f"{name}: {type(leaf).__name__} is no data set of otcxr_mm, and not audited")
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
    """Gives all hard links of a file one path, that of an evaluated set where there is one."""
    # the evaluated ones first
    parts = sorted(parts, key=lambda part: part.split.endswith("train"))
    first: dict[int, str] = {}
    pairs = ((inode, file) for part in parts for inode, file in zip(part.inodes, part.files, strict=True))
    linked = {inode for inode, file in pairs if inode and first.setdefault(inode, file) != file}
    links: dict[int, list[str]] = {inode: [] for inode in linked}
    for part in parts if linked else ():
        for i, (inode, file) in enumerate(zip(part.inodes, part.files, strict=True)):
            if inode in linked:
                # equal inodes on two devices are two files
                same = next((link for link in links[inode] if os.path.samefile(link, file)), file)
                part.files[i] = same
                links[inode].append(same)


def _unite_nested_roots(parts: Sequence[_Part]) -> None:
    """Lets ids be compared between data sets without a published collection, one of whose roots is inside the other."""
    own = [part for part in parts if not part.dataset.collection]
    for outer, inner in permutations(own, 2):
        if Path(inner.collection).is_relative_to(outer.collection):
            space = f"{inner.collection} in {outer.collection}"
            outer.patients[space], inner.patients[space] = outer.patient, inner.patient


def _leaks(a: str, b: str) -> bool:
    """Whether what two splits share is a leak."""
    train, other = (a, b) if a.endswith("train") else (b, a)
    if other.endswith("train") or not train.endswith("train"):
        return False
    # pre-training without labels may use validation images, and is not evaluated on its own
    return train.startswith(PRETRAIN) == other.startswith(PRETRAIN) or other == "test"


def _ordered(a: _Part, b: _Part) -> tuple[_Part, _Part]:
    """The one that is trained on first."""
    return (b, a) if b.split.endswith("train") and not a.split.endswith("train") else (a, b)


def _twice(part: _Part) -> list[Overlap]:
    twice = {file: n for file, n in Counter(part.files).items() if n > 1}
    if not twice:
        return []
    return [Overlap("images", part.name, part.name, tuple(sorted(twice)), (sum(twice.values()), 0), False)]


def _shared(a: Mapping[str, list[str]], b: Mapping[str, list[str]]) -> tuple[set[int], dict[int, str]]:
    """Rows of `a` whose key `b` has too, and rows of `b` whose key `a` has, with that key."""
    rows_a: set[int] = set()
    key_of: dict[int, str] = {}
    for space in sorted(a.keys() & b.keys()):
        common = (set(a[space]) & set(b[space])) - {""}
        if common:
            rows_a.update(i for i, key in enumerate(a[space]) if key in common)
            key_of.update({i: key for i, key in enumerate(b[space]) if key in common})
    return rows_a, key_of


def _between(a: _Part, b: _Part) -> list[Overlap]:
    """Patients and files that two data sets share; named as the one that is evaluated on has them."""
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
    """What cannot be known."""
    notes = []
    for part in parts:
        unknown = part.patient.count("")
        if unknown:
            amount = "" if unknown == len(part.patient) else f" for {unknown} of {len(part.patient)} images"
            notes.append(f"{part.name}: no patient id{amount}: nothing can be guaranteed")
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
                    f"{inner.parent}: if those of {other.name} do too, the same patients may stand in both"
                )
        if not a.patients.keys() & b.patients.keys() and any(a.patient) and any(b.patient):
            equal = len((set(a.patient) & set(b.patient)) - {""})
            notes.append(
                f"{a.name} and {b.name}: patient ids of different collections, not compared"
                + (f" ({equal} are equal: a leak if both come from one source)" if equal else "")
            )
    return notes


def _containment(a: _Part, b: _Part) -> str:
    inner = [part for part in (a, b) if part.parent]
    untraced = [f"{len(p.patient) - p.traced} of {p.name}" for p in inner if p.traced < len(p.patient)]
    whose = " and ".join(part.collection for part in inner)
    text = f"{a.name} and {b.name}: images of {whose} come, as far as is known, from {a.source}"
    if not untraced:
        return f"{text}; all are traced to their originals and compared by them"
    return (
        f"{text}: the same patients may stand in both, which their ids do not show. Images without known original: "
        f"{', '.join(untraced)}; name the originals with origins=FILE.csv (columns image, original), or compare pixels"
    )


def _pixel_overlaps(parts: Sequence[_Part], pixels: bool | str, jobs: int, notes: list[str]) -> list[Overlap]:
    """Other files of the same content, between the data sets and within each."""
    if pixels == "bytes":
        without = [part for part in parts if "img" in part.dataset.get_data_info(0)]
        for part in without:
            why = "packed" if part.dataset.packed is not None else "all images in one file"
            notes.append(f"{part.name}: {why}, no files to compare; decoded pixels can be")
        parts = [part for part in parts if part not in without]
        digests = file_digests([part.files for part in parts], jobs)
    else:
        digests = pixel_digests([(part.dataset, part.files) for part in parts], jobs)
        notes += _packed_otherwise({part.name: next(iter(d)) for part, d in zip(parts, digests, strict=True)})
    overlaps = []
    for part, spaces in zip(parts, digests, strict=True):
        unread = next(iter(spaces.values())).count(None)
        if unread:
            notes.append(f"{part.name}: {unread} of {len(part.files)} images cannot be read, and are not compared")
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
    """What data sets packed at other sizes or depths keep from being found; size and depth by name."""
    notes = []
    for (a, form_a), (b, form_b) in combinations([(name, form) for name, form in forms.items() if form], 2):
        if form_a[0] != form_b[0]:
            notes.append(f"{a} and {b}: packed at different sizes ({form_a[0]} and {form_b[0]}), pixels not compared")
        elif form_a[1] != form_b[1]:
            notes.append(
                f"{a} and {b}: packed with {form_a[1]} and {form_b[1]} bits, pixels compared in 8: what was packed "
                "from 16-bit files may be missed"
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
    """Pairs of different files; the same file is found without reading it."""
    first = dict(zip(reversed(a), reversed(files_a), strict=True))
    same = {(digest, file) for digest, file in zip(a, files_a, strict=True)}
    return {
        (first[digest], file)
        for digest, file in zip(b, files_b, strict=True)
        if digest and digest in first and (digest, file) not in same
    }


def build_datasets(cfg: Mapping, prefix: str = "", roles: Sequence[str] = ROLES) -> dict[str, object]:
    """The data sets of a config's dataloaders, as :func:`audit` takes them.

    Args:
        cfg: With `train_dataloader`, `val_dataloader`, `test_dataloader`, as far as there are.
        prefix: ``'pretrain/'`` for the run before.
        roles: Those to build.

    Returns:
        Prefix and role to data set. Equal configs give one and the same object.
    """
    built: dict[str, object] = {}
    seen: list[tuple[object, object]] = []
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope")):
        for role in roles:
            spec = (cfg.get(f"{role}_dataloader") or {}).get("dataset")
            if spec is None:
                continue
            known = next((dataset for other, dataset in seen if other == spec), None)
            dataset = known if known is not None else DATASETS.build(deepcopy(spec))
            seen.append((spec, dataset))
            built[prefix + role] = dataset
    return built
