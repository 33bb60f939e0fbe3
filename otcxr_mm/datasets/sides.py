"""Classes that have a side, and horizontal flips that would make left and right the same."""

import re
from collections.abc import Iterable, Iterator, Sequence

from mmcv.transforms import RandomFlip
from mmpretrain.datasets import MultiView

from .transforms import MaskedCrop, PackViews, TwoViewCrop
from .transforms.flip import mirrored_order

_OTHER = {"left": "right", "right": "left", "lt": "rt", "rt": "lt", "l": "r", "r": "l"}


def words_of(name: str) -> tuple[str, ...]:
    """Words of a name in lower case, split at camel case and at anything that is not a letter."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return tuple(word.lower() for word in re.findall(r"[^\W\d_]+", apart))


def sided(names: Sequence[str]) -> list[str]:
    """The names with the word left, right, lt or rt, and those with l or r that have a counterpart among the names."""
    all_words = {words_of(name) for name in names}
    found = []
    for name in names:
        words = words_of(name)
        sides = {word for word in words if word in _OTHER}
        if sides - {"l", "r"} or (sides and tuple(_OTHER.get(word, word) for word in words) in all_words):
            found.append(name)
    return found


def check_sides(
    source: str, transforms: Iterable[object], classes: Sequence[str], mask_classes: Sequence[str] = ()
) -> None:
    """Refuses a horizontal flip if a class with a side is not in its `flip_pairs`, or these name an unknown class.

    Pipelines that make several views of an image are not checked: they are for pre-training without labels.
    """
    steps = list(_flattened(transforms))
    if any(isinstance(step, (PackViews, TwoViewCrop, MultiView)) for step in steps):
        return
    for step in steps:
        names = mask_classes if isinstance(step, MaskedCrop) else classes
        pairs = getattr(step, "flip_pairs", ())
        mirrored_order(names, pairs, f"{source}: {type(step).__name__}")
        named = {name for pair in pairs for name in pair}
        missing = [name for name in sided(names) if name not in named]
        if missing and _flips(step):
            raise ValueError(
                f"{source}: {type(step).__name__} flips images horizontally, but the classes {missing} have a side: in "
                "a flipped image their labels would be wrong. Name the classes that change places in flip_pairs of "
                "otcxr_mm.FlipCXR or otcxr_mm.MaskedCrop, such as [('left_lung', 'right_lung')], or set the "
                "probability of the flip to 0"
            )


def _flattened(transforms: Iterable[object]) -> Iterator[object]:
    """Transforms, and those inside wrappers such as RandomApply and MMPretrain's wrapper of torchvision."""
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
