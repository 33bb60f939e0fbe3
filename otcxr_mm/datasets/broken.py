"""Images that turn out to be broken while training."""

import logging

import numpy as np
import torch
from mmengine.logging import print_log

SHOWN = 20


class TooManyBrokenImages(RuntimeError):
    """More images are broken than `max_broken` allows; the message lists them."""


class BrokenImages:
    """Counts broken images, each once, in memory that the workers of a process share.

    `reasons` tells what is wrong with those that this process met, by their index.
    """

    def __init__(self, n: int, max_broken: float) -> None:
        self.n, self.max_broken = n, max_broken
        self._flags = torch.zeros(n, dtype=torch.uint8)
        self.reasons: dict[int, str] = {}

    def share(self) -> None:
        """Moves the count to shared memory; before the workers start."""
        self._flags.share_memory_()

    def __len__(self) -> int:
        return int(self._flags.sum())

    def add(self, idx: int, paths: np.ndarray, reason: Exception) -> None:
        """Counts an image, and logs its path the first time; ends the run if there are more than `max_broken`."""
        self.reasons[idx] = str(reason)
        if not self._flags[idx]:
            self._flags[idx] = 1
            count = len(self)
            print_log(
                f"broken image, skipped ({count} so far, at most {int(self.max_broken * self.n)} of {self.n}): "
                f"{reason}",
                "current",
                logging.WARNING,
            )
        if len(self) > self.max_broken * self.n:
            known = torch.nonzero(self._flags).flatten().tolist()
            lines = [self.reasons.get(i, str(paths[i])) for i in known[:SHOWN]]
            raise TooManyBrokenImages(
                f"{len(known)} of {self.n} images are broken, more than max_broken={self.max_broken}: replace them, "
                f"take them out of the table, or raise max_broken. The first {len(lines)}:\n  " + "\n  ".join(lines)
            )
