"""Builds the data sets of a config, looks inside their wrappers, and counts what they hold."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy

import numpy as np
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.registry import DATASETS, DefaultScope

from ..registry import DATASETS as OWN_DATASETS
from .base import BaseCXRDataset

ROLES = ("train", "val", "test")


def leaves(dataset: object) -> Iterator[object]:
    """The data sets inside a list, ConcatDataset, RepeatDataset and the like; for a torch Subset, only its part."""
    inner = dataset if isinstance(dataset, list) else getattr(dataset, "datasets", None)
    if inner is not None:
        for child in inner:
            yield from leaves(child)
    elif getattr(dataset, "dataset", None) is not None:
        if hasattr(dataset, "full_init"):
            dataset.full_init()  # KFoldDataset selects its part here
        children = list(leaves(dataset.dataset))
        known = all(isinstance(child, BaseCXRDataset) for child in children)
        # only if the rows are those of the inner data sets
        if hasattr(dataset, "indices") and known and sum(map(len, children)) == len(dataset.dataset):
            rows, starts = np.asarray(dataset.indices), np.cumsum([0, *map(len, children)])
            inside = [rows[(rows >= a) & (rows < b)] - a for a, b in zip(starts[:-1], starts[1:], strict=True)]
            children = [child.get_subset(own) for child, own in zip(children, inside, strict=True) if len(own)]
        yield from children
    else:
        yield dataset


def all_labels(dataset: object) -> np.ndarray | None:
    """Labels of all images of a data set, or of those in a wrapper, (n, C); None unless all have as many classes."""
    found = []
    for part in leaves(dataset):
        if isinstance(part, BaseCXRDataset):
            part.full_init()
        found.append(getattr(getattr(part, "records", None), "labels", None))
    widths = {None if labels is None else labels.shape[1] for labels in found}
    return np.concatenate(found) if len(widths) == 1 and None not in widths else None


def named_leaves(datasets: Mapping[str, object]) -> Iterator[tuple[str, str, object]]:
    """Data sets inside wrappers, each with its role and a name: the role, or ``'train[0]'`` and so on if several."""
    for role, dataset in datasets.items():
        inner = list(leaves(dataset))
        for i, leaf in enumerate(inner):
            yield role, f"{role}[{i}]" if len(inner) > 1 else role, leaf


def build_datasets(cfg: Mapping, prefix: str = "", roles: Sequence[str] = ROLES) -> dict[str, object]:
    """Builds the data sets of a config's dataloaders, for :func:`otcxr_mm.datasets.audit.audit`.

    Args:
        cfg: Config, with any of `train_dataloader`, `val_dataloader` and `test_dataloader`.
        prefix: ``'pretrain/'`` for the earlier run.
        roles: Roles to build.

    Returns:
        Data sets by prefix and role. Equal configs give the same object.
    """
    built: dict[str, object] = {}
    specs = {prefix + role: (cfg.get(f"{role}_dataloader") or {}).get("dataset") for role in roles}
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope")):
        for name, spec in specs.items():
            same = next((other for other in built if specs[other] == spec), None)
            if spec is not None:
                built[name] = built[same] if same else DATASETS.build(deepcopy(spec))
    return built


def build_untrusted(spec: object) -> list[BaseCXRDataset]:
    """Builds the data sets in settings of unknown origin, without importing or calling anything else that they name.

    Args:
        spec: Settings of a data set of this package, or of MMEngine's concatenation, repetition or balancing of such.

    Returns:
        The data sets, without wrappers and pipelines.

    Raises:
        ValueError: If the settings name any other data set.
    """
    kind = spec.get("type") if isinstance(spec, Mapping) else None
    if kind in ("ConcatDataset", "RepeatDataset", "ClassBalancedDataset"):
        return [leaf for child in spec.get("datasets") or [spec.get("dataset")] for leaf in build_untrusted(child)]
    known = {f"otcxr_mm.{name}": dataset for name, dataset in OWN_DATASETS.module_dict.items()}
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(f"its training data is {kind!r}, not a data set of otcxr_mm")
    return [known[kind](**{key: value for key, value in spec.items() if key not in ("type", "pipeline")})]


def counts(dataset: object) -> dict:
    """Numbers of images and known patients of a data set, and the SHA-256 of its list."""
    parts, patients = list(leaves(dataset)), None
    if all(isinstance(part, BaseCXRDataset) for part in parts):
        for part in parts:
            part.full_init()
        patients = len({(part.collection, p) for part in parts for p in part.records.patient.tolist() if p != ""})
    return {"images": len(dataset), "patients": patients, "sha256": data_sha256(dataset)}


def data_sha256(dataset: object) -> str | None:
    """SHA-256 over the images and patients of a data set, in order; over its parts for concatenated ones.

    Equal if and only if the same images (by their paths relative to the root) of the same patients are there. None for
    a data set that is neither a :class:`otcxr_mm.BaseCXRDataset` nor MMEngine's concatenation, repetition or balancing
    of such.
    """
    if getattr(dataset, "records", None) is not None:
        records = dataset.records
        lines = (f"{path}\t{patient}\n" for path, patient in zip(records.path, records.patient, strict=True))
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    if isinstance(dataset, (RepeatDataset, ClassBalancedDataset)):
        return data_sha256(dataset.dataset)
    digests = [data_sha256(part) for part in dataset.datasets] if isinstance(dataset, ConcatDataset) else [None]
    return None if None in digests else hashlib.sha256("\n".join(digests).encode()).hexdigest()
