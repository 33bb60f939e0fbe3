"""Aligning the classes of a data set by name."""

import difflib
from collections.abc import Mapping, Sequence

import numpy as np

CLOSE = 0.8  # difflib's similarity from which on a name counts as misspelt


def normal_form(name: str) -> str:
    """A class name as it is compared: 'Pleural_Thickening' and 'Pleural thickening' are the same."""
    return " ".join(name.replace("_", " ").casefold().split())


def align_classes(
    own: Sequence[str], wanted: Sequence[str] | Mapping[str, str | None], source: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """Finds the wanted classes among a data set's own; case, spaces and underscores do not matter.

    Args:
        own: Classes of the data set; none for a data set without labels.
        wanted: As `classes` of :class:`.base.BaseCXRDataset`.
        source: The data set, named in errors.

    Returns:
        The wanted names, and the position of each in `own`, -1 where the data set does not have it.

    Raises:
        ValueError: If `wanted` names a class twice; or if the data set has labels but none of these, or lacks one of
            these and has another that is spelled almost like it.
    """
    names = tuple(wanted)
    sources = list(wanted.values()) if isinstance(wanted, Mapping) else list(wanted)
    forms = [normal_form(name) for name in names]
    if len(set(forms)) < len(forms):
        raise ValueError(f"{source}: a class is named twice in classes={list(names)}")
    place = {normal_form(name): i for i, name in enumerate(own)}
    columns = np.array([place.get(normal_form(name or ""), -1) for name in sources])
    free = {form: own[i] for form, i in place.items() if i not in columns}
    unknown = [name for name, column in zip(sources, columns, strict=True) if name and column < 0]
    if own and unknown and (columns < 0).all():
        raise ValueError(f"{source}: none of the classes {unknown} is among {list(own)}")
    for name in unknown:
        near = difflib.get_close_matches(normal_form(name), free, 1, CLOSE)
        if near:
            raise ValueError(
                f"{source}: unknown class {name!r}: did you mean {free[near[0]]!r}? If the data set does not have it, "
                f"say so with a mapping: classes={{..., {name!r}: None}}"
            )
    return names, columns


def align_labels(labels: np.ndarray | None, columns: np.ndarray, n: int) -> np.ndarray:
    """Labels (n, C) of the wanted classes, float32; NaN for classes the data set does not have."""
    if labels is not None and np.array_equal(columns, np.arange(labels.shape[1])):
        return labels.astype(np.float32, copy=False)
    aligned = np.full((n, len(columns)), np.nan, np.float32)
    if labels is not None:
        aligned[:, columns >= 0] = labels[:, columns[columns >= 0]]
    return aligned
