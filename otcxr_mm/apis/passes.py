"""Forward passes that give an image the same result, whatever else is computed with it."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from .images import Prepared

# images in a pass on a CPU
SIZE = 8


def groups(batch: Sequence[Prepared], size: int | None) -> Iterator[list[Prepared]]:
    """Splits a batch into groups of images that have one shape, of at most `size`; those not read are left out."""
    by_shape: dict[tuple[int, ...], list[Prepared]] = {}
    for entry in batch:
        if entry.tensor is not None:
            by_shape.setdefault((*entry.tensor.shape, entry.tensor.dtype), []).append(entry)
    for same in by_shape.values():
        step = size or len(same)
        yield from (same[start : start + step] for start in range(0, len(same), step))


def full_pass(function: Callable[[Tensor], Sequence], images: Tensor, size: int | None) -> Sequence:
    """Applies a network to images, filled up to `size` with copies of the first.

    On a CPU, the kernels of a convolution depend on the size of the batch, and their results differ in the last bit.
    With one size, the result for an image depends neither on the others, nor on its place among them.

    Args:
        function: Takes (size, C, H, W) and returns one entry per image.
        images: (n, C, H, W), n <= size.
        size: Of each pass; None to take the images as they are.

    Returns:
        The entries of the n images.
    """
    if size is None or len(images) == size:
        return function(images)
    filling = images[:1].expand(size - len(images), *images.shape[1:])
    return function(torch.cat([images, filling]))[: len(images)]


def pass_size(device: torch.device, size: int = SIZE) -> int | None:
    """Images per pass on a device; None on a GPU, where a batch is one pass."""
    return size if device.type == "cpu" else None
