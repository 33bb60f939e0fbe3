"""What every chest X-ray data set shares: records, splits, checks, and draws that can be repeated."""

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.dataset.base_dataset import force_full_init
from mmengine.logging import print_log

from .packed import PackedImages
from .seeding import Clock
from .splits import check_patient_disjoint, split_from_file


@dataclass
class Records:
    """Images of a data set as columns of equal length n: quick to make, and shared between workers by the fork.

    Attributes:
        path: Path relative to the data root, (n,).
        patient: Patient id, (n,); '' if unknown.
        view: View position (PA, AP, ...), (n,); '' if unknown.
        split: Split that the source assigns, (n,); '' if none.
        labels: float32 (n, C): 1, 0, or NaN for unknown; None for a data set without labels.
    """

    path: np.ndarray
    patient: np.ndarray
    view: np.ndarray
    split: np.ndarray
    labels: np.ndarray | None = field(default=None)

    def __len__(self) -> int:
        return len(self.path)

    def take(self, rows: np.ndarray | slice) -> "Records":
        """The records of some rows (indices, mask or slice)."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return Records(**{name: None if column is None else column[rows] for name, column in columns.items()})


class BaseCXRDataset(BaseDataset):
    """Base of the chest X-ray data sets; a subclass implements :meth:`load_records`.

    Each item of the pipeline's input holds `img_path`, `sample_idx`, `patient_id`, `view_position`, with labels
    `gt_score` (float32 (C,), NaN for unknown), and with packed images `img` (H, W), which LoadCXR then takes.

    With :class:`otcxr_mm.ReproducibilityHook` every random draw of the pipeline depends on (seed, epoch, index) alone.

    Attributes:
        collection: Name of the published collection that the patient ids belong to, for the leak audit; '' if they mean
            something within `data_root` only.

    Args:
        data_root: Folder of the data set.
        ann_file: Annotation table, relative to `data_root`; '' for the publisher's own name.
        split: Split to take; ``'all'`` for every image.
        split_file: A csv of one's own with a column `split` and one of images or patients, in place of the
            source's splits; relative to `data_root`.
        views: View positions to keep, such as ``('PA', 'AP')``; None keeps all.
        check_files: Whether to look, before training starts, if every image is there.
        skip_missing: Leave out, and count, images that are not there, instead of an error.
        packed: Folder of packed images (:func:`otcxr_mm.pack_images`) to read instead of the files; `data_root` still
            holds the tables.
        pipeline: Transforms.
        indices: Keep only the first so many images, or those of these indices.
        test_mode: Whether a broken image is an error at once; here it always is.
        lazy_init: Read nothing before the first use.
        metainfo: Further meta information.

    Raises:
        FileNotFoundError: If the folder, a table or a listed image is missing.
        ValueError: If a column is missing, a class is unknown, a split is empty, or a patient stands in two splits.
    """

    collection: str = ""

    def __init__(
        self,
        data_root: str = "",
        ann_file: str = "",
        split: str = "all",
        split_file: str | None = None,
        views: Sequence[str] | None = None,
        check_files: bool = True,
        skip_missing: bool = False,
        packed: str | None = None,
        pipeline: Sequence[dict | Callable] = (),
        indices: int | Sequence[int] | None = None,
        test_mode: bool = False,
        lazy_init: bool = False,
        metainfo: dict | None = None,
    ) -> None:
        self.split, self.split_file, self.views = split, split_file, views
        self.check_files, self.skip_missing = check_files, skip_missing
        self.records: Records | None = None
        self.clock = Clock()
        self.packed: PackedImages | None = None
        self._packed_folder = packed
        self.rows: np.ndarray | None = None
        if split_file is not None and split == "all":
            raise ValueError(f"split_file={split_file!r} needs the split to take, such as split='train'")
        self.root = Path(data_root).expanduser()
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"data_root={str(data_root)!r} is no folder (looked at {self.root.absolute()}): set it to the folder "
                "of the data set, in the config, in the environment variable that the head of the config names, or "
                "with --cfg-options train_dataloader.dataset.data_root=..."
            )
        super().__init__(
            ann_file=ann_file,
            metainfo=metainfo,
            data_root=data_root,
            data_prefix={},
            indices=indices,
            serialize_data=False,
            pipeline=list(pipeline),
            test_mode=test_mode,
            lazy_init=lazy_init,
        )

    def _join_prefix(self) -> None:
        """Nothing: paths are joined where they are read."""

    def load_records(self) -> Records:
        """Reads the source's tables; :class:`BaseCXRDataset` does the rest."""
        raise NotImplementedError

    def known_files(self) -> set[str] | None:
        """Paths relative to the root of all images there, if a listing is cheaper than one look an image."""
        return None

    def full_init(self) -> None:
        """Reads, checks and filters the records; once."""
        if self._fully_initialized:
            return
        records = self.load_records()
        if self._packed_folder is not None:
            self.packed = PackedImages(self._packed_folder)
        if self.split_file is not None:
            records.split = split_from_file(records.path, records.patient, self.root / self.split_file)
        check_patient_disjoint(records.patient, records.split, self._source())
        records = self._select(records)
        if self.check_files or self.skip_missing or self.packed is not None:
            records = self._check_files(records)
        if self._indices is not None:
            records = self._subset(records, self._indices)
        if not len(records):
            raise ValueError(f"{self._source()}: no image is left")
        self._set_records(records)
        self._fully_initialized = True
        print_log(str(self), logger="current")

    def _set_records(self, records: Records) -> None:
        self.records = records
        if self.packed is not None:
            self.rows = self.packed.rows(records.path)

    def _source(self) -> str:
        table = self.split_file or self.ann_file
        return f"{type(self).__name__} in {self.root / table if table else self.root}"

    def _select(self, records: Records) -> Records:
        names, counts = np.unique(records.split[records.split != ""], return_counts=True)
        found = dict(zip(names.tolist(), counts.tolist(), strict=True))
        if self.split == "all" and len(found) > 1:
            print_log(
                f"{self._source()}: all splits are used together, {found}; take one with split=...",
                "current",
                logging.WARNING,
            )
        if self.split != "all":
            chosen = records.split == self.split
            if not chosen.any():
                raise ValueError(f"{self._source()}: split {self.split!r} is empty; the splits are {found or 'none'}")
            records = records.take(chosen)
        if self.views is not None:
            chosen = np.isin(records.view, list(self.views))
            if not chosen.any():
                found = sorted(set(records.view.tolist()))
                raise ValueError(f"{self._source()}: no image with views={list(self.views)}; there are {found}")
            records = records.take(chosen)
        return records

    def _check_files(self, records: Records) -> Records:
        paths = records.path.tolist()
        if self.packed is not None:
            root, there = self.packed.folder, self.packed.rows(paths) >= 0
        else:
            root, listing = self.root, self.known_files()
            there = np.array([p in listing for p in paths] if listing else [(root / p).is_file() for p in paths])
        missing = np.flatnonzero(~there)
        if not len(missing):
            return records
        example = root / paths[missing[0]]
        if not self.skip_missing or not there.any():
            raise FileNotFoundError(
                f"{self._source()}: {len(missing)} of {len(paths)} listed images are not there, the first one "
                f"{example}. Complete the folder, or set skip_missing=True to go on with those that are there"
            )
        print_log(
            f"{self._source()}: {len(missing)} listed images are not there and left out, {example} first",
            "current",
        )
        return records.take(there)

    @staticmethod
    def _subset(records: Records, indices: int | Sequence[int]) -> Records:
        if isinstance(indices, int):
            return records.take(slice(indices) if indices >= 0 else slice(indices, None))
        return records.take(np.asarray(indices))

    def set_epoch(self, seed: int, epoch: int, stream: int = 0) -> None:
        """Makes the draws of the pipeline those of (seed, epoch); :class:`otcxr_mm.ReproducibilityHook` calls it.

        Args:
            seed: Seed of the run.
            epoch: From 0.
            stream: Number of this data set among those trained on, so that they draw differently.
        """
        self.clock.set(seed, epoch, stream)

    def prepare_data(self, idx: int) -> dict:
        """Runs the pipeline on an image, with the draws of (seed, epoch, idx)."""
        with self.clock.at(idx % len(self)):
            return self.pipeline(self.get_data_info(idx))

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """The record of an image as the pipeline's input."""
        records = self.records
        info = {
            "img_path": str(self.root / records.path[idx]),
            "sample_idx": idx if idx >= 0 else len(records) + idx,
            "patient_id": str(records.patient[idx]),
            "view_position": str(records.view[idx]),
        }
        if self.packed is not None:
            info["img"] = self.packed[self.rows[idx]]
        if records.labels is not None:
            info["gt_score"] = records.labels[idx]
        return info

    @force_full_init
    def __len__(self) -> int:
        return len(self.records)

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """Indices of the positive classes of an image, for MMEngine's ClassBalancedDataset."""
        if self.records.labels is None:
            raise ValueError(f"{type(self).__name__} has no labels to balance by")
        return np.flatnonzero(self.records.labels[idx] == 1).tolist()

    @force_full_init
    def get_subset_(self, indices: int | Sequence[int]) -> None:
        """Keeps the first so many images, or those of these indices, in place."""
        self._set_records(self._subset(self.records, indices))

    @force_full_init
    def get_subset(self, indices: int | Sequence[int]) -> "BaseCXRDataset":
        """A data set of the first so many images, or those of these indices."""
        other = copy.copy(self)
        other._set_records(self._subset(self.records, indices))
        return other

    @force_full_init
    def __repr__(self) -> str:
        records = self.records
        patients = set(records.patient.tolist()) - {""}
        text = f"{type(self).__name__} [{self.split}]: {len(records)} images of {len(patients) or 'unknown'} patients"
        if records.labels is None:
            return text
        positives, known = (records.labels == 1).sum(0), np.isfinite(records.labels).sum(0)
        counts = ", ".join(
            f"{name} {p}" if k == len(records) else f"{name} {p} of {k} known"
            for name, p, k in zip(self.metainfo["classes"], positives, known, strict=True)
        )
        return f"{text}; positives: {counts}"
