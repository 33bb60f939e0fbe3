"""Names from a config or a table, written where they could be read as code: Markdown, spreadsheets, pictures."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
P, R = ParamSpec("P"), TypeVar("R")


def for_markdown(text: str) -> str:
    """Text on one line, in which nothing is HTML."""
    return " ".join(text.splitlines()).replace("<", r"\<")


def for_csv(frame: "pd.DataFrame") -> "pd.DataFrame":
    """A table whose text no spreadsheet takes for a formula: an apostrophe goes before it."""
    text = frame.select_dtypes(exclude="number")
    return frame.assign(**{name: column.map(_no_formula) for name, column in text.items()})


def _no_formula(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def plain_text(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorator of a function that draws with matplotlib, which then takes no `$` for the beginning of a formula."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        from matplotlib import rc_context  # slow

        with rc_context({"text.parse_math": False}):
            return draw(*args, **kwargs)

    return drawn
