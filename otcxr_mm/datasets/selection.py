"""Which records of a data set are kept: of a split, by view, age and sex, and those whose image exists."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from .packed import PackedImages
from .records import Records


def split_counts(records: Records) -> dict[str, int]:
    """Number of images of each split."""
    names, counts = np.unique(records.split[records.split != ""], return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def of_split(records: Records, split: str, source: str) -> Records:
    """The records of a split; it is an error if there are none."""
    chosen = records.split == split
    if not chosen.any():
        raise ValueError(f"{source}: split {split!r} is empty; the splits are {split_counts(records) or 'none'}")
    # a copy of half a million paths takes 150 MB
    return records if chosen.all() else records.take(chosen)


def check_repetition(records: Records, source: str) -> None:
    """Raises a ValueError if two records name the same image."""
    paths = records.path.tolist()
    if len(set(paths)) < len(paths):
        count = Counter(paths)
        twice = next(path for path in paths if count[path] > 1)
        raise ValueError(f"{source}: {twice} is listed in several rows: keep one of them")


def filtered(
    records: Records,
    source: str,
    views: Sequence[str] | None,
    ages: tuple[float, float] | None,
    sexes: Sequence[str] | None,
) -> Records:
    """The records with these views, ages (youngest, oldest) and sexes; None keeps all. Logs how many it drops."""
    for name, column, wanted in (("views", "view", views), ("ages", "age", ages), ("sexes", "sex", sexes)):
        if wanted is None:
            continue
        values = getattr(records, column)
        if column == "age":
            chosen, unknown = (values >= wanted[0]) & (values <= wanted[1]), np.isnan(values)
        else:
            chosen, unknown = np.isin(values, list(wanted)), values == ""
        if not chosen.any():
            found = sorted(set(values[~unknown].tolist()))[:10] or "none known"
            raise ValueError(f"{source}: no image with {name}={list(wanted)}; there are {found}")
        print_log(
            f"{source}: {name}={list(wanted)} drops {int((~chosen).sum())} of {len(records)} images "
            f"({int((unknown & ~chosen).sum())} of unknown {column})",
            "current",
        )
        records = records.take(chosen)
    return records


def _files(folder: Path) -> set[str]:
    """Names of the files of a folder; links count if they lead to a file."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()


def existing(records: Records, source: str, root: Path, packed: PackedImages | None, skip_missing: bool) -> Records:
    """The records whose image is there: packed, or as a file below `root`.

    Folders are listed, which is faster than looking for each file. It is an error if an image is missing and
    `skip_missing` is not set, or if all are.
    """
    paths = records.path.tolist()
    if packed is not None:
        there = packed.rows(paths) >= 0
        place, lack, way_out = "", f"not among the packed images in {packed.folder}", "Run otcxr prepare for this split"
    else:
        parts = [os.path.split(path) for path in paths]
        files = {folder: _files(root / folder) for folder in {folder for folder, _ in parts}}
        there = np.array([name in files[folder] for folder, name in parts])
        place, lack = f"{root}/", "missing"
        way_out = "Complete the folder, correct data_root or img_prefix, or set skip_missing=True to leave them out"
    missing = np.flatnonzero(~there)
    if not len(missing):
        return records
    example = f"{place}{paths[missing[0]]}"
    if not skip_missing or not there.any():
        raise FileNotFoundError(
            f"{source}: {len(missing)} of {len(paths)} listed images are {lack}, first {example}. {way_out}"
        )
    print_log(f"{source}: {len(missing)} listed images are {lack} and were left out, first {example}", "current")
    return records.take(there)
