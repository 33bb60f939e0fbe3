"""Classes that have a side, and horizontal flips that would make left and right the same."""

import re
from collections.abc import Iterable, Iterator, Sequence

from mmcv.transforms import RandomFlip
from mmpretrain.datasets import MultiView

from .transforms import FlipCXR, MaskedCrop, PackViews, TwoViewCrop
from .transforms.flip import mirrored_order

_OTHER = {"left": "right", "right": "left", "lt": "rt", "rt": "lt", "l": "r", "r": "l"}


def _words(name: str) -> tuple[str, ...]:
    """Words of a name in lower case, split at camel case and at what is not a letter."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return tuple(word.lower() for word in re.findall(r"[^\W\d_]+", apart))


def sided(names: Sequence[str]) -> dict[str, str | None]:
    """Names that have a side: with the word left, right, lt or rt; or with l or r, if both counterparts are there.

    Args:
        names: Of classes.

    Returns:
        Each such name, to the one of the other side among `names`; None if there is none.
    """
    by_words = {_words(name): name for name in names}
    found = {}
    for name in names:
        words = _words(name)
        other = by_words.get(tuple(_OTHER.get(word, word) for word in words))
        sides = {word for word in words if word in _OTHER}
        if sides - {"l", "r"} or (sides and other is not None):
            found[name] = other
    return found


def check_sides(
    source: str, transforms: Iterable[object], classes: Sequence[str], mask_classes: Sequence[str] = ()
) -> None:
    """Refuses a horizontal flip that would leave the labels of left and right where they are.

    Pipelines that make several viewpoints of an image are for pre-training without labels: nothing is asked of them.

    Args:
        source: Data set that the error names.
        transforms: Of its pipeline.
        classes: Of the labels of images.
        mask_classes: Of the masks.

    Raises:
        ValueError: If a class with a side is in none of the transform's `flip_pairs`, or these name an unknown class.
    """
    steps = list(_flattened(transforms))
    if any(isinstance(step, (PackViews, TwoViewCrop, MultiView)) for step in steps):
        return
    for step in steps:
        names = mask_classes if isinstance(step, MaskedCrop) else classes
        pairs = getattr(step, "flip_pairs", ())
        mirrored_order(names, pairs, f"{source}: {type(step).__name__}")
        named, found = {name for pair in pairs for name in pair}, sided(names)
        missing = [name for name in found if name not in named]
        if missing and _flips(step):
            raise ValueError(
                f"{source}: {type(step).__name__} flips images horizontally, but the classes {missing} have a side: "
                f"in a flipped image their labels would be wrong. {_way_out(step, pairs, found, missing)}"
            )


def _way_out(
    step: object, pairs: Sequence[tuple[str, str]], found: dict[str, str | None], missing: Sequence[str]
) -> str:
    name = type(step).__name__
    off = {"MaskedCrop": "flip=0", "RandomHorizontalFlip": "p=0"}.get(name, "prob=0.0")
    alone = [name for name in missing if found[name] is None]
    if alone:
        return f"There is no class for the other side of {alone}: turn the flip off with {off}"
    guess = list(dict.fromkeys(tuple(sorted((one, found[one]), key=list(found).index)) for one in missing))
    guessed = {name for pair in guess for name in pair}
    where = f"flip_pairs={[*(pair for pair in pairs if not guessed & set(pair)), *guess]}"
    if not isinstance(step, (MaskedCrop, FlipCXR)):
        where = f"dict(type='otcxr_mm.FlipCXR', {where}) in its place"
    return f"Name those that change places with {where}, or turn the flip off with {off}"


def _flattened(transforms: Iterable[object]) -> Iterator[object]:
    """Transforms and those inside wrappers, such as RandomApply and MMPretrain's of torchvision's."""
    for step in transforms:
        yield step
        inner = getattr(step, "transforms", None) or getattr(step, "t", None)
        if inner is not None:
            yield from _flattened(inner if isinstance(inner, Iterable) else [inner])


def _flips(step: object) -> bool:
    if isinstance(step, MaskedCrop):
        return step.flip > 0
    if isinstance(step, RandomFlip):
        directions = [step.direction] if isinstance(step.direction, str) else step.direction
        shares = step.prob if isinstance(step.prob, Sequence) else [step.prob] * len(directions)
        return any(share > 0 and way != "vertical" for share, way in zip(shares, directions, strict=True))
    return type(step).__name__ == "RandomHorizontalFlip" and step.p > 0
