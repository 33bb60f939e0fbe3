"""Labels: aligning the classes of a data set by name, and reading what several readers said."""

import difflib
from collections.abc import Mapping, Sequence

import numpy as np

CLOSE = 0.8  # similarity of a misspelt class, as difflib has it
DISPUTED = {"unknown": np.nan, "positive": 1.0, "negative": 0.0}


def normal_form(name: str) -> str:
    """A class name as it is compared: 'Pleural_Thickening' and 'Pleural thickening' are the same."""
    return " ".join(name.replace("_", " ").casefold().split())


def align_classes(
    own: Sequence[str], wanted: Sequence[str] | Mapping[str, str | None], source: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """Where the wanted classes stand among a data set's own.

    Names are the same if they differ in case, spaces and underscores only.

    Args:
        own: Classes of the data set; none for a data set without labels.
        wanted: Names in the order asked for; or a mapping from such a name to that of the data set, None or '' for a
            class that the data set does not have.
        source: What the error names.

    Returns:
        The wanted names, and for each its position in `own`, -1 where the data set does not have it.

    Raises:
        ValueError: If `wanted` is empty or names a class twice; or if the data set has labels but none of these, or not
            one of these and another one that is spelled almost like it.
    """
    if isinstance(wanted, str) or not wanted:
        raise ValueError(f"{source}: classes is a list of names, got {wanted!r}")
    names = tuple(wanted)
    sources = list(wanted.values()) if isinstance(wanted, Mapping) else list(wanted)
    forms = [normal_form(name) for name in names]
    if len(set(forms)) < len(forms):
        twice = next(name for name, form in zip(names, forms, strict=True) if forms.count(form) > 1)
        raise ValueError(f"{source}: class {twice!r} is named twice in classes={list(names)}")
    place = {normal_form(name): i for i, name in enumerate(own)}
    columns = np.array([place.get(normal_form(name or ""), -1) for name in sources])
    free = {form: own[i] for form, i in place.items() if i not in columns}
    unknown = [name for name, column in zip(sources, columns, strict=True) if name and column < 0]
    if own and unknown and (columns < 0).all():
        near = difflib.get_close_matches(unknown[0], own, 1, 0.5)
        hint = f" (is {near[0]!r} meant?)" if near else ""
        raise ValueError(f"{source}: unknown class {unknown[0]!r}{hint}; none of {unknown} is among {list(own)}")
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
    aligned = np.full((n, len(columns)), np.nan, np.float32)
    if labels is not None:
        aligned[:, columns >= 0] = labels[:, columns[columns >= 0]]
    return aligned


def vote(positive: np.ndarray, min_readers: int, disputed: str) -> np.ndarray:
    """Image-level labels from how many readers marked a class.

    Args:
        positive: Readers that marked it, integers of any shape.
        min_readers: From so many on it is positive; with none it is negative.
        disputed: What lies between: ``'unknown'`` (NaN), ``'positive'`` or ``'negative'``.

    Returns:
        float32 of the same shape.
    """
    labels = np.where(positive >= min_readers, 1.0, np.where(positive == 0, 0.0, DISPUTED[disputed]))
    return labels.astype(np.float32)


def check_vote(name: str, min_readers: int, disputed: str) -> None:
    """Fails with a ValueError unless the arguments of :func:`vote` are fine."""
    if not 1 <= min_readers <= 3:
        raise ValueError(f"{name}: three radiologists read an image: min_readers is 1, 2 or 3, got {min_readers}")
    if disputed not in DISPUTED:
        raise ValueError(f"{name}: disputed is one of {list(DISPUTED)}, got {disputed!r}")
