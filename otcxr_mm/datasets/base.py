"""The base of all chest X-ray data sets: records, splits, checks, and repeatable random draws."""

import copy
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.dataset.base_dataset import force_full_init
from mmengine.logging import print_log

from .broken import BrokenImages
from .label_spaces import label_space
from .labels import align_classes, align_labels
from .packed import PackedImages
from .pairs import PatientPairs
from .patients import check_patient_disjoint, one_spelling
from .records import Records
from .seeding import Clock
from .selection import check_repetition, existing, filtered, of_split, split_counts
from .sides import check_sides
from .splits import draw_fraction, split_by_hash, split_from_file
from .transforms.errors import BrokenImageError


class BaseCXRDataset(BaseDataset):
    """Base of the chest X-ray data sets; a subclass implements :meth:`load_records`.

    The input of the pipeline holds `img_path`, `image` (the path below `data_root`), `sample_idx`, `patient_id`,
    `study_id`, `collection` (which the ids belong to), `view_position`, `age` (years, NaN if unknown) and `sex`. With
    labels, it also holds `gt_score` (float32 (C,), NaN if unknown) and their names `classes`; with packed images, also
    `img` (H, W), which LoadCXR uses.

    With :class:`otcxr_mm.ReproducibilityHook`, every random draw of the pipeline depends only on (seed, epoch, index).

    In training, an image that cannot be read is skipped, counted, and logged once; another image, determined by (seed,
    epoch, index), takes its place. The workers of one process share the count; in distributed training, each process
    has its own.

    Attributes:
        collection: Name of the published collection that the patient ids belong to, for the leak audit; '' if they are
            only meaningful within `data_root`.
        mask_classes: Names of the masks, if the data set has any.

    Args:
        data_root: Folder of the data set.
        ann_file: Annotation table, relative to `data_root`; '' for the publisher's own name.
        split: Split to use; ``'all'`` for every image.
        split_file: Your own csv with a column `split` and one of images or patients, which replaces the source's
            splits; relative to `data_root`.
        split_by_hash: Splits by the hash of the patient, the same on every machine, which replace the source's:
            ``(('train', 0.7), ('val', 0.1), ('test', 0.2))``.
        within: With `split_by_hash`, the source's split to divide, such as NIH's ``'train_val'``; None for all images.
        classes: Names of the labels to return, in this order; or a mapping from each name to the data set's own name,
            or to None if the data set does not have it; or the name of a label space that several data sets share,
            such as ``'chexpert5'`` (:data:`.label_spaces.LABEL_SPACES`), whose findings are found under the data set's
            own names. Classes that the data set does not have are NaN, so data sets with the same `classes` can be
            concatenated; a name that is close to one of its own is an error. Default: the data set's own classes.
        views: View positions to keep, such as ``('PA', 'AP')``; None keeps all.
        ages: Youngest and oldest age to keep, in years, inclusive; None keeps all.
        sexes: Sexes to keep, of ``'M'`` and ``'F'``; None keeps all.
        fraction: Share of the remaining patients to keep, fixed and nested (:func:`.splits.draw_fraction`).
        draw: Number of the draw of `fraction`.
        check_files: Whether to check, before training starts, that every image exists.
        skip_missing: Leave out and count missing images instead of raising an error.
        pairs: Arguments of :class:`otcxr_mm.PatientPairs`, such as ``dict(share=0.3)``: in that share of the samples,
            the second view is cut from another image of the same patient, which TwoViewCrop finds under `other`. None:
            both views are always from one image.
        packed: Folder of packed images (:func:`otcxr_mm.pack_images`) to read instead of the files; `data_root` still
            holds the tables.
        max_broken: Share of the images that may be broken in training before the run ends and lists them.
        **kwargs: Of MMEngine's BaseDataset: `pipeline`; `indices`, the number of first images or the indices to keep;
            `test_mode`, in which a broken image is an error at once; `lazy_init`.

    Raises:
        FileNotFoundError: If the folder, a table or a listed image is missing.
        ValueError: If a column is missing, no class is known, a split is empty, an image is listed twice, a patient
            appears in more than one split, or the pipeline flips images whose classes have a side.
    """

    # the publisher's splits; () if the table defines the names
    SPLITS: tuple[str, ...] = ()
    collection: str = ""
    mask_classes: tuple[str, ...] = ()
    # column of patients in the tables: '' if there is none, None to find it by name
    patient_column: str | None = None

    def __init__(
        self,
        data_root: str = "",
        ann_file: str = "",
        split: str = "all",
        split_file: str | None = None,
        split_by_hash: Sequence[tuple[str, float]] | None = None,
        within: str | None = None,
        classes: str | Sequence[str] | Mapping[str, str | None] | None = None,
        views: Sequence[str] | None = None,
        ages: tuple[float, float] | None = None,
        sexes: Sequence[str] | None = None,
        fraction: float = 1.0,
        draw: int = 0,
        check_files: bool = True,
        skip_missing: bool = False,
        pairs: dict | None = None,
        packed: str | None = None,
        max_broken: float = 0.01,
        **kwargs: object,
    ) -> None:
        self.split, self.split_file, self.split_by_hash, self.within = split, split_file, split_by_hash, within
        self.views, self.ages, self.sexes, self.fraction, self.draw = views, ages, sexes, fraction, draw
        self.check_files, self.skip_missing, self.max_broken = check_files, skip_missing, max_broken
        self._check_arguments()
        self.records: Records | None = None
        self.broken: BrokenImages | None = None
        self.pairs: PatientPairs | None = None
        self._pairs_spec = pairs
        self.packed: PackedImages | None = None
        self.rows: np.ndarray | None = None
        self._packed_folder = packed
        self.clock = Clock()
        self.root = Path(data_root).expanduser()
        self._root = str(self.root)
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"data_root={str(data_root)!r} is not a folder (looked at {self.root.absolute()}): set it to the "
                "folder of the data set, in the config, in the environment variable that the head of the config "
                "names, or with --cfg-options train_dataloader.dataset.data_root=..."
            )
        own, names = tuple(self.label_names()), ()
        self._columns: np.ndarray | None = None
        if isinstance(classes, str):
            classes = label_space(classes, own, type(self).__name__)
        if classes is not None or own:
            names, self._columns = align_classes(own, own if classes is None else classes, type(self).__name__)
        metainfo = {"classes": names} if names else None
        super().__init__(ann_file, metainfo, str(data_root), {}, serialize_data=False, **kwargs)

    def _check_arguments(self) -> None:
        name = type(self).__name__
        if self.split_file is not None and self.split_by_hash is not None:
            raise ValueError(f"{name}: split_file and split_by_hash both define the splits: leave one of them out")
        if self.has_own_splits and self.split == "all":
            raise ValueError(f"{name}: split_file and split_by_hash need the split to use, such as split='train'")
        if self.within is not None and self.split_by_hash is None:
            raise ValueError(f"{name}: within={self.within!r} needs split_by_hash")
        shares = self.split_by_hash
        if shares is not None and (len(dict(shares)) < len(shares) or abs(sum(dict(shares).values()) - 1) > 1e-6):
            raise ValueError(f"{name}: split_by_hash={shares} must be pairs of a split and its share, which sum to 1")
        if not self.has_own_splits and self.SPLITS and self.split not in (*self.SPLITS, "all"):
            raise ValueError(f"{name}: split must be one of {[*self.SPLITS, 'all']}, got {self.split!r}")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"{name}: fraction must be above 0 and at most 1, got {self.fraction}")

    @property
    def has_own_splits(self) -> bool:
        """Whether the user defines the splits, with `split_file` or `split_by_hash`, instead of the publisher."""
        return self.split_file is not None or self.split_by_hash is not None

    @property
    def splits_to_read(self) -> tuple[str, ...]:
        """The publisher's splits whose images can be among those asked for."""
        return self.SPLITS if self.split == "all" or self.has_own_splits else (self.split,)

    def label_names(self) -> Sequence[str]:
        """Classes of the labels that :meth:`load_records` returns; () without labels."""
        return self.METAINFO.get("classes", ())

    def _join_prefix(self) -> None:
        """Does nothing: paths are joined where they are read."""

    def load_records(self) -> Records:
        """Reads the source's tables: all images of every split. :class:`BaseCXRDataset` does the rest."""
        raise NotImplementedError

    def full_init(self) -> None:
        """Reads, checks and filters the records; once."""
        if self._fully_initialized:
            return
        source = self._source()
        check_sides(source, self.pipeline.transforms, self._metainfo.get("classes", ()), self.mask_classes)
        records = self.load_records()
        check_repetition(records, source)
        records.patient = one_spelling(records.patient)
        self._align_labels(records)
        records = filtered(self._of_split(records), source, self.views, self.ages, self.sexes)
        if self.fraction < 1:
            records = records.take(draw_fraction(records.path, records.patient, self.fraction, self.draw, source))
        if self._packed_folder is not None:
            self.packed = PackedImages(self._packed_folder)
        if self.check_files or self.skip_missing or self.packed is not None:
            records = existing(records, source, self.root, self.packed, self.skip_missing)
        if self._indices is not None:
            records = self._subset(records, self._indices)
        if not len(records):
            raise ValueError(f"{source}: no images are left")
        self._set_records(records)
        self._fully_initialized = True
        print_log(str(self), logger="current")

    def _set_records(self, records: Records) -> None:
        self.records = records
        self.broken = BrokenImages(len(records), self.max_broken)
        self.broken.share()
        if self.packed is not None:
            self.rows = self.packed.rows(records.path)
        if self._pairs_spec is not None:
            self.pairs = PatientPairs(records, **self._pairs_spec, source=self._source())

    def _source(self) -> str:
        table = self.split_file or self.ann_file
        return f"{type(self).__name__} in {self.root / table if table else self.root}"

    def _align_labels(self, records: Records) -> None:
        if self._columns is None:
            return
        missing = [name for name, c in zip(self.metainfo["classes"], self._columns, strict=True) if c < 0]
        if missing:
            print_log(f"{self._source()}: no labels for {missing}; they are unknown (NaN) here", "current")
        records.labels = align_labels(records.labels, self._columns, len(records))

    def _of_split(self, records: Records) -> Records:
        """Assigns the user's own splits, checks that no patient is in two, and takes the split asked for."""
        source = self._source()
        if self.split_file is not None:
            file = self.root / self.split_file
            records.split = split_from_file(records.path, records.patient, file, self.patient_column)
        elif self.split_by_hash is not None:
            if self.within is not None:
                check_patient_disjoint(records.patient, records.split, source)
                records = of_split(records, self.within, source)
            records.split = split_by_hash(records.path, records.patient, self.split_by_hash, source)
        check_patient_disjoint(records.patient, records.split, source)
        if self.split != "all":
            return of_split(records, self.split, source)
        counts = split_counts(records)
        if len(counts) > 1:
            text = f"{source}: all splits are used together, {counts}; choose one with split=..."
            print_log(text, "current", logging.WARNING)
        return records

    @staticmethod
    def _subset(records: Records, indices: int | Sequence[int]) -> Records:
        if isinstance(indices, int):
            return records.take(slice(indices) if indices >= 0 else slice(indices, None))
        return records.take(np.asarray(indices))

    def set_epoch(self, seed: int, epoch: int, stream: int = 0) -> None:
        """Seeds the draws of the pipeline with (seed, epoch); :class:`otcxr_mm.ReproducibilityHook` calls it.

        Args:
            seed: Seed of the run.
            epoch: Epoch, counted from 0.
            stream: Number of this data set among those trained on, so that each draws differently.
        """
        self.clock.set(seed, epoch, stream)
        if self.broken is not None:
            self.broken.share()

    def __getitem__(self, idx: int) -> dict:
        """Runs the pipeline on an image; in training, another image replaces one that cannot be read."""
        if not self._fully_initialized:
            self.full_init()
        if self.test_mode:
            return self.prepare_data(idx)
        first = idx % len(self.records)
        for attempt in range(self.max_refetch + 1):
            try:
                data = self.prepare_data(idx)
                if data is not None:
                    return data
            except BrokenImageError as error:
                self.broken.add(idx % len(self.records), self.records.path, error)
            idx = self.clock.replacement(first, attempt, len(self.records))
        raise RuntimeError(
            f"{self._source()}: the pipeline returned nothing for {self.max_refetch + 1} images in a row"
        )

    def prepare_data(self, idx: int) -> dict | None:
        """Runs the pipeline on an image and perhaps a partner, with the draws of (seed, epoch, idx)."""
        with self.clock.at(idx % len(self)):
            info = self.get_data_info(idx)
            partner = None if self.pairs is None else self.pairs.draw(info["sample_idx"])
            if partner is not None:
                info["other"] = self.get_data_info(partner)
            try:
                return self.pipeline(info)
            except BrokenImageError as error:
                if partner is None or error.sample_idx != partner or self.test_mode:
                    raise
                self.broken.add(partner, self.records.path, error)
                return self.pipeline(self.get_data_info(idx))

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """The record of an image as input for the pipeline; negative indices count from the end."""
        records = self.records
        info = {
            # takes a tenth of the time of pathlib
            "img_path": os.path.join(self._root, records.path[idx]),
            "image": str(records.path[idx]),
            "sample_idx": idx if idx >= 0 else len(records) + idx,
            "patient_id": str(records.patient[idx]),
            "study_id": str(records.study[idx]),
            "collection": self.collection or self._root,
            "view_position": str(records.view[idx]),
            "age": float(records.age[idx]),
            "sex": str(records.sex[idx]),
        }
        if self.packed is not None:
            info["img"] = self.packed[self.rows[idx]]
        if records.labels is not None:
            info["gt_score"], info["classes"] = records.labels[idx], self._metainfo["classes"]
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
        """Keeps only the first images, or those at these indices, in place."""
        self._set_records(self._subset(self.records, indices))

    @force_full_init
    def get_subset(self, indices: int | Sequence[int]) -> "BaseCXRDataset":
        """Returns a data set of the first images, or of those at these indices."""
        other = copy.copy(self)
        other.get_subset_(indices)
        return other

    @force_full_init
    def __repr__(self) -> str:
        records = self.records
        patients = set(records.patient.tolist()) - {""}
        text = f"{type(self).__name__} [{self.split}]: {len(records)} images of {len(patients) or 'unknown'} patients"
        if self.fraction < 1:
            text += f" (fraction {self.fraction:g}, draw {self.draw})"
        if self.pairs is not None:
            text += f", {self.pairs.count} of them with a partner"
        if records.labels is None:
            return text
        positives, known = (records.labels == 1).sum(0), np.isfinite(records.labels).sum(0)
        counts = ", ".join(
            f"{name} {p}" if k == len(records) else f"{name} {p} of {k} known"
            for name, p, k in zip(self.metainfo["classes"], positives, known, strict=True)
        )
        return f"{text}; positives: {counts}"
