"""Checks whether evaluation uses patients or images that training has seen."""

import os
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from ..utils.threads import map_in_threads
from .audited import NIH, AuditedSet
from .base import BaseCXRDataset
from .collections.rsna import read_mapping
from .content import pixel_digest, reader
from .findings import PRETRAIN, Audit, Overlap
from .image_files import stem
from .inspection import named_leaves
from .tables import read_csv

PRETRAINED = (
    "This is not a leak, because pre-training uses no labels. But choices made on validation, such as weight decay or "
    "the best checkpoint, rely on features pre-trained on these very images: validation figures are optimistic, test "
    "figures are not affected. For an untouched validation set, pre-train on the split 'train' only"
)


def audit(datasets: Mapping[str, object], pixels: bool = False, origins: str | os.PathLike | None = None) -> Audit:
    """Compares the data sets of a run with each other, patient by patient and image by image.

    Two patients are the same if their ids (:func:`otcxr_mm.datasets.splits.normal_ids`) and their collections are
    equal; without a published collection, the data roots must be equal or one inside the other. Two images are the
    same if their file is, even through symbolic and hard links. It is a leak if training shares anything with
    validation or test of the same run, or pre-training with test of the later run. What pre-training shares with
    validation is a note; everything else is only reported.

    Args:
        datasets: Data sets by name: ``'train'``, ``'val'``, ``'test'``, and ``'pretrain/train'`` and so on for the
            earlier run; wrappers such as ConcatDataset are unwrapped.
        pixels: Whether to read all images and compare their pixels, to find copies under other names. Images that
            cannot be read are counted in a note, and so are sets packed at different sizes, which cannot be compared.
        origins: RSNA's own `pneumonia-challenge-dataset-mappings_2018.json`, which is also found in its folder; or a
            csv with the columns `image` and `original`, which gives for images of a contained collection (RSNA,
            SIIM-ACR; ChestMNIST's are called `train/000017`) the image of the containing one (NIH's file name).

    """
    original_of = _read_origins(Path(origins)) if origins is not None else {}
    parts, notes = [], []
    for split, name, leaf in named_leaves(datasets):
        if isinstance(leaf, BaseCXRDataset):
            parts.append(AuditedSet(split, name, leaf, original_of))
        else:
            notes.append(f"{name}: {type(leaf).__name__} is not a data set of otcxr_mm and was not audited")
    notes += _read_pixels(parts) if pixels else []
    # the set that is trained on comes first
    pairs = [sorted(pair, key=lambda part: not part.split.endswith("train")) for pair in combinations(parts, 2)]
    overlaps = [overlap for a, b in pairs for overlap in _overlaps(a, b)]
    overlaps.sort(key=lambda overlap: (not overlap.leak, overlap.kind == "pixels"))
    known = [o.describe() for o in overlaps if o.first.startswith("pretrain/train") and o.second.startswith("val")]
    if known:
        notes.insert(0, f"{'; '.join(known)}. {PRETRAINED}")
    return Audit([part.row() for part in parts], overlaps, notes + _notes(parts, pairs))


def _read_origins(file: Path) -> dict[str, str]:
    if file.suffix.lower() == ".json":
        return read_mapping(file)
    table = read_csv(file, ("image", "original"))
    images, originals = table["image"].tolist(), map(stem, table["original"].tolist())
    return {name: original for image, original in zip(images, originals, strict=True) for name in (image, stem(image))}


def _read_pixels(parts: Sequence[AuditedSet]) -> list[str]:
    """Reads each image once; returns notes on what could not be read or compared."""
    rows = {(part.store, file): (reader(part.dataset), row) for part in parts for row, file in enumerate(part.files)}
    found = map_in_threads(lambda item: pixel_digest(item[0](item[1])), list(rows.values()), "Reading images")
    digest_of = dict(zip(rows, found, strict=True))
    notes = []
    for part in parts:
        part.pixels = [digest_of[part.store, file] for file in part.files]
        if unread := part.pixels.count(""):
            notes.append(f"{part.name}: {unread} of {len(part.files)} images cannot be read and were not compared")
    forms = {part.name: part.form for part in parts}
    if len(set(forms.values())) > 1:
        listed = ", ".join(f"{name} ({form})" for name, form in forms.items())
        notes.append(f"pixels were only compared between sets that store them at the same size: {listed}")
    return notes


def _is_leak(first: str, second: str) -> bool:
    """Whether it is a leak if the split `first`, which comes first in a pair, shares anything with `second`."""
    if not first.endswith("train") or second.endswith("train"):
        return False
    # pre-training without labels may use validation images, and has no evaluation of its own
    return first.startswith(PRETRAIN) == second.startswith(PRETRAIN) or second == "test"


def _same_place(a: AuditedSet, b: AuditedSet) -> bool:
    """Whether equal patient ids and paths in the tables of two sets mean the same person and image."""
    published = [part for part in (a, b) if part.dataset.collection]
    nested = Path(a.root).is_relative_to(b.root) or Path(b.root).is_relative_to(a.root)
    if len(published) == 2:
        return a.collection == b.collection
    return a.root == b.root or (nested and not published)


def _overlaps(a: AuditedSet, b: AuditedSet) -> list[Overlap]:
    """What two data sets share, named as in the second one."""
    same_place, same_source = _same_place(a, b), a.source == b.source
    patients = _shared(
        (same_place, a.patient, b.patient), (same_source and a.source == NIH, a.nih_patient, b.nih_patient)
    )
    images = _shared((True, a.inodes, b.inodes), (same_place, a.files, b.files), (same_source, a.image, b.image))
    # a file that is in both sets is not a copy of itself
    others = ["" if row in images[1] else digest for row, digest in enumerate(b.pixels)]
    pixels = _shared((a.form == b.form, a.pixels, others))
    copied = dict(zip(a.pixels, a.files, strict=False))
    found = {
        "patients": (*patients, set(patients[1].values())),
        "images": (*images, {b.files[row] for row in images[1]}),
        "pixels": (*pixels, {f"{copied[digest]} = {b.files[row]}" for row, digest in pixels[1].items()}),
    }
    return [
        Overlap(kind, a.name, b.name, tuple(sorted(names)), (len(first), len(second)), _is_leak(a.split, b.split))
        for kind, (first, second, names) in found.items()
        if names
    ]


def _shared(*columns: tuple[bool, list[str], list[str]]) -> tuple[set[int], dict[int, str]]:
    """Rows of the first set that share a key with the second one, and rows of the second one with that key."""
    first: set[int] = set()
    second: dict[int, str] = {}
    for comparable, a, b in columns:
        common = (set(a) & set(b)) - {""} if comparable else set()
        first.update(row for row, key in enumerate(a) if key in common)
        second.update({row: key for row, key in enumerate(b) if key in common})
    return first, second


def _same_names(a: AuditedSet, b: AuditedSet) -> str:
    """A note if files of a folder of one's own are named as images of a published collection; else ''.

    Collections of COVID-19 and tuberculosis images, for example, hold images of other collections.
    """
    if bool(a.dataset.collection) == bool(b.dataset.collection):
        return ""
    own, published = (b, a) if a.dataset.collection else (a, b)
    shared = {stem(file) for file in own.files} & (set(published.image) - {""})
    if not shared:
        return ""
    return (
        f"{a.name} and {b.name}: {len(shared)} files of {own.name} have names of images of {published.collection}: "
        f"if they are these images, {'this is a leak' if _is_leak(a.split, b.split) else 'both sets hold them'}"
    )


def _notes(parts: Sequence[AuditedSet], pairs: Sequence[tuple[AuditedSet, AuditedSet]]) -> list[str]:
    """Notes on what the audit cannot know."""
    notes = []
    for part in parts:
        if unknown := part.patient.count(""):
            amount = "" if unknown == len(part.patient) else f" for {unknown} of {len(part.patient)} images"
            notes.append(f"{part.name}: no patient id{amount}: shared patients cannot be ruled out")
    notes += [note for pair in pairs if (note := _same_names(*pair))]
    for a, b in pairs:
        if not _is_leak(a.split, b.split) or _same_place(a, b):
            continue
        inner = [part for part in (a, b) if part.parent]
        if inner and (a.source == b.source or not (a.dataset.collection and b.dataset.collection)):
            whose = " and ".join(part.collection for part in inner)
            untraced = [f"{len(p.patient) - p.traced} of {p.name}" for p in inner if p.traced < len(p.patient)]
            notes.append(
                f"{a.name} and {b.name}: images of {whose} come, as far as is known, from {inner[0].parent}: the same "
                "patients may be in both, which their ids do not show. Images without a known original: "
                f"{', '.join(untraced) or 'none'} (origins=FILE.csv names them in columns image, original)"
            )
        if a.source != b.source and any(a.patient) and any(b.patient):
            equal = len((set(a.patient) & set(b.patient)) - {""})
            notes.append(
                f"{a.name} and {b.name}: patient ids are from different collections and were not compared"
                + (f" ({equal} are equal: a leak if both come from one source)" if equal else "")
            )
    return notes
