"""Random draws that depend on (seed, epoch, image index) and on nothing else."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch.utils.data import get_worker_info


@contextmanager
def kept_generators() -> Iterator[None]:
    """Puts the global generators of Python, NumPy and torch (CPU) back afterwards."""
    states = random.getstate(), np.random.get_state(legacy=False), torch.default_generator.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])


class Clock:
    """Seed, epoch and number of the data set, in memory that persistent workers share.

    Until :meth:`set` has been called nothing is seeded.
    """

    def __init__(self) -> None:
        self._state = torch.full((3,), -1, dtype=torch.int64)

    def set(self, seed: int, epoch: int, stream: int = 0) -> None:
        """Sets the time; before the workers start for the first time, so that they share it."""
        # here and not before: the runner copies its config, and a copy shares nothing
        self._state.share_memory_()
        self._state.copy_(torch.tensor([seed, epoch, stream]))

    @contextmanager
    def at(self, index: int) -> Iterator[None]:
        """Within it, the global generators of Python, NumPy and torch (CPU) are those of one image.

        So the draws of any transform of any library are the same for every number of workers. The generators of the
        process are put back afterwards, but not in a worker of a data loader, which draws for images alone.
        """
        seed, epoch, stream = self._state.tolist()
        if epoch < 0:
            yield
            return
        # in a worker it would take as long as all other draws of a sample together
        with kept_generators() if get_worker_info() is None else nullcontext():
            draw = int(np.random.SeedSequence([seed, epoch, stream, index]).generate_state(1)[0])
            random.seed(draw)
            np.random.seed(draw)
            torch.default_generator.manual_seed(draw)
            yield

    def replacement(self, index: int, attempt: int, n: int) -> int:
        """Another image in place of one that cannot be read: a draw of (seed, epoch, index, attempt) among n."""
        key = [max(0, value) for value in self._state.tolist()]
        return int(np.random.default_rng([*key, index, attempt, 1]).integers(n))
