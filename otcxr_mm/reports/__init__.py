"""Tables of finished downstream runs, from the records that :class:`otcxr_mm.ResultsHook` leaves."""

from .build import Table, build_tables
from .draws import METRICS
from .pair import compare_runs
from .runs import Run, load_runs, rename, tasks
from .text import table_csv, table_latex, table_markdown

__all__ = [
    "METRICS",
    "Run",
    "Table",
    "build_tables",
    "compare_runs",
    "load_runs",
    "rename",
    "table_csv",
    "table_latex",
    "table_markdown",
    "tasks",
]
