"""A horizontal flip that knows which classes have a side."""

from collections.abc import Sequence

from mmcv.transforms import RandomFlip

from ...registry import TRANSFORMS

Pairs = Sequence[tuple[str, str]]


def mirrored_order(names: Sequence[str], pairs: Pairs, source: str) -> list[int]:
    """For each class, the position of the one that it becomes in a mirror image."""
    place = {name: i for i, name in enumerate(names)}
    unknown = [name for pair in pairs for name in pair if name not in place]
    if unknown:
        raise ValueError(f"{source}: flip_pairs names {unknown}, but the classes are {list(names)}")
    order = list(range(len(names)))
    for one, other in pairs:
        order[place[one]], order[place[other]] = place[other], place[one]
    if len(set(order)) < len(order):
        raise ValueError(f"{source}: a class belongs to one of the flip_pairs, got {list(pairs)}")
    return order


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
        ValueError: In the pipeline, if `flip_pairs` names an unknown class, or one class in several pairs.
    """

    def __init__(self, prob: float = 0.5, flip_pairs: Pairs = ()) -> None:
        super().__init__(prob=float(prob), direction="horizontal")
        self.flip_pairs = tuple(map(tuple, flip_pairs))

    def _flip(self, results: dict) -> None:
        super()._flip(results)
        if self.flip_pairs:
            order = mirrored_order(results["classes"], self.flip_pairs, "FlipCXR")
            results["gt_score"] = results["gt_score"][order]
