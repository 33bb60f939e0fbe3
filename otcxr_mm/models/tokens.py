"""What the neck hands to the head, and the head to the transport loss."""

from typing import NamedTuple

from torch import Tensor


class Tokens(NamedTuple):
    """Projected tokens of B views.

    Attributes:
        dense: One token per cell of the grid, row by row, (B, N, D).
        global_: One token for the whole view, (B, 1, D); None: the mean of the dense tokens takes its place.
        grid: Rows and columns (h, w) of the dense tokens, N = h w.
        plain: The tokens before infusion, if they were asked for.
    """

    dense: Tensor
    global_: Tensor | None
    grid: tuple[int, int]
    plain: "Tokens | None" = None

    def take(self, rows: Tensor) -> "Tokens":
        """The tokens of some of the B views."""
        global_ = None if self.global_ is None else self.global_[rows]
        return Tokens(self.dense[rows], global_, self.grid, None if self.plain is None else self.plain.take(rows))

    @property
    def pooled(self) -> Tensor:
        """The global token, or the mean of the dense ones, (B, 1, D)."""
        return self.dense.mean(1, keepdim=True) if self.global_ is None else self.global_


class Atoms(NamedTuple):
    """B discrete measures.

    Attributes:
        points: Positions of the atoms, (B, N, D).
        mass: Masses of the atoms, (B, N).
    """

    points: Tensor
    mass: Tensor
