"""A horizontal flip that knows which classes have a side."""

from collections.abc import Sequence

from mmcv.transforms import RandomFlip

from ...registry import TRANSFORMS

Pairs = Sequence[tuple[str, str]]


def check_pairs(pairs: Pairs, source: str) -> tuple[tuple[str, str], ...]:
    """The pairs of classes that change places in a mirror image, as tuples.

    Raises:
        ValueError: If they are not pairs of names, or a name appears twice.
    """
    found = tuple(pair if isinstance(pair, str) else tuple(pair) for pair in pairs)
    if not all(isinstance(p, tuple) and len(p) == 2 and all(isinstance(name, str) for name in p) for p in found):
        raise ValueError(
            f"{source}: flip_pairs is a list of pairs of class names, such as [('left_lung', 'right_lung')]; "
            f"got {pairs}"
        )
    names = [name for pair in found for name in dict.fromkeys(pair)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{source}: a class belongs to one of the flip_pairs; {twice} appear in several of {pairs}")
    return found


def mirrored_order(names: Sequence[str], pairs: Pairs, source: str) -> list[int]:
    """For each class, the position of the one that it becomes in a mirror image.

    Raises:
        ValueError: If a pair names a class that is not among `names`.
    """
    place = {name: i for i, name in enumerate(names)}
    unknown = [name for pair in pairs for name in pair if name not in place]
    if unknown:
        raise ValueError(f"{source}: flip_pairs names {unknown}, but the classes are {list(names)}")
    order = list(range(len(names)))
    for one, other in pairs:
        order[place[one]], order[place[other]] = place[other], place[one]
    return order


def swap_sides(results: dict, target: str, classes: str, pairs: Pairs, source: str) -> None:
    """Exchanges the entries of the two classes of each pair, in place.

    Args:
        results: Of the pipeline.
        target: Key of an array whose first axis is the class.
        classes: Key of the names of these classes.
        pairs: Classes that change places.
        source: Named in errors.
    """
    if not pairs:
        return
    missing = [key for key in (target, classes) if key not in results]
    if missing:
        raise ValueError(
            f"{source}: flip_pairs={list(pairs)} needs {target} and {classes}, but the data set gives no "
            f"{' and no '.join(missing)}: leave flip_pairs out, or take a data set of otcxr_mm that has them"
        )
    results[target] = results[target][mirrored_order(results[classes], pairs, source)]


@TRANSFORMS.register_module()
class FlipCXR(RandomFlip):
    """MMCV's RandomFlip, horizontal, which also exchanges the labels of left and right.

    Changed keys: `img`, `gt_score` (with `flip_pairs`), `flip`, `flip_direction`.

    A data set of this package whose classes have a side refuses a horizontal flip that does not name them in
    `flip_pairs`.

    Args:
        prob: Probability of the flip.
        flip_pairs: Classes that change places, such as ``[('Left effusion', 'Right effusion')]``. A class paired with
            itself keeps its label.

    Raises:
        ValueError: If `flip_pairs` is not a list of pairs, each class in one of them. In the pipeline, if a class is
            unknown.
    """

    def __init__(self, prob: float = 0.5, flip_pairs: Pairs = ()) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"FlipCXR: prob lies in [0, 1], got {prob}")
        super().__init__(prob=float(prob), direction="horizontal")
        self.flip_pairs = check_pairs(flip_pairs, "FlipCXR")

    def _flip(self, results: dict) -> None:
        super()._flip(results)
        swap_sides(results, "gt_score", "classes", self.flip_pairs, "FlipCXR")
