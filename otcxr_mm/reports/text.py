"""Tables as Markdown, LaTeX and csv."""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ..evaluation.statistics.bootstrap import FEWEST
from ..utils.escape import for_csv, for_markdown
from ..utils.markdown import markdown
from .build import Table, joined
from .runs import Run, short

MISSING = "–"
_LATEX = str.maketrans({character: "\\" + character for character in "&%$#_{}"})


def table_markdown(table: Table) -> str:
    """The table, its differences, and what the figures mean."""
    lines = [f"## {for_markdown(title(table))}", ""]
    for grid in _grids(table):
        lines += [*markdown(list(grid.columns), grid.to_numpy().tolist()), ""]
    return "\n".join([*lines, *(f"- {for_markdown(note)}" for note in notes(table))]) + "\n"


def table_latex(table: Table) -> str:
    r"""The same for LaTeX; needs `\usepackage{booktabs}`."""
    parts = []
    for grid in _grids(table):
        caption = title(table) + (f", differences to {table.reference}" if parts else "")
        text = grid.to_latex(index=False, escape=True, caption=caption.translate(_LATEX))
        parts.append(re.sub(r"\*\*(\S+?)\*\*", r"\\textbf{\1}", text))
    return "\n".join([*parts, r"{\footnotesize " + " ".join(notes(table)).translate(_LATEX) + "}\n"])


def table_csv(tables: Sequence[Table]) -> str:
    """All figures of `tables`, a row per cell, unrounded; empty where not defined."""
    rows = []
    for number, table in enumerate(tables, 1):
        test = table.runs[0].test
        common = {"table": number, "task": table.runs[0].task}
        common |= {f"test_{key}": test[key] for key in ("type", "split", "sha256")}
        common |= {key: test[key] for key in ("images", "patients")}
        rows += [{**common, **cell} for cell in table.cells.drop(columns="difference_runs").to_dict("records")]
    return for_csv(pd.DataFrame(rows, dtype=object)).to_csv(index=False)


def title(table: Table) -> str:
    """A table's title, one line."""
    run, by_class = table.runs[0], table.by == "class"
    text = f"{table.name}{' by class' if by_class else ''}: {run.test['type']}"
    text += f", {run.test['split']}" if run.test["split"] else ""
    return text + (f", {percent(run.fraction)} of the training patients" if by_class else "")


def notes(table: Table) -> list[str]:
    """What the figures mean, for below the table."""
    test, units = table.runs[0].test, len(np.unique(table.runs[0].arrays["patient"]))
    patients = f"{test['patients']} patients" if test["patients"] else "patients unknown"
    if test["patients"] and units != test["patients"]:
        patients += f", {units} units drawn (an image without a patient is one)"
    lines = [
        f"Test set: {test['images']} images, {patients}, {len(test['classes'])} classes, "
        f"SHA-256 {short(test['sha256'])}.",
        f"{table.name}{', lower is better' if table.metric == 'hd95' else ''}; "
        + ("mean over the classes that are defined. " if table.by == "fraction" else "")
        + f"Brackets: 95 % interval over {table.draws} bootstrap draws of patients, the same draws for all runs. Where "
        "a cell is the mean of several runs (xN), the runs are resampled as well, so that the interval also covers "
        "other draws of training patients and other seeds (it is a little too narrow for few runs).",
    ]
    if (table.cells["value"].notna() & table.cells["low"].isna()).any():
        lines.append(f"[–]: no interval, a class has fewer than {FEWEST} patients with the finding, or without it.")
    differs = " In the differences: the interval excludes zero; not corrected for their number."
    lines.append("Bold: the best of a column within its protocol." + (differs if table.reference else ""))
    used = {key: joined(getattr(run, key) for run in table.runs) for key in ("config", "seed", "draw")}
    lines.append("; ".join(f"{key}s: {values}" for key, values in used.items()) + ".")
    return lines + [f"Warning: {line}" for line in _training_differs(table.runs)]


def percent(fraction: float) -> str:
    """A fraction as printed."""
    return f"{100 * fraction:g} %"


def _training_differs(runs: Sequence[Run]) -> list[str]:
    trained: dict[tuple, dict[str, Run]] = {}
    for run in (run for run in runs if run.train["sha256"]):
        trained.setdefault((run.fraction, run.draw), {}).setdefault(run.train["sha256"], run)
    return [
        f"{joined((run.folder for run in found.values()), ' and ')} were trained on different images, although "
        f"fraction {fraction:g} and draw {draw} are the same"
        for (fraction, draw), found in trained.items()
        if len(found) > 1
    ]


def _grids(table: Table) -> Iterator[pd.DataFrame]:
    """The table, and its differences if there are any, as text."""
    yield _grid(table, table.cells, "method")
    if table.reference:
        cells = table.cells.dropna(subset="reference")
        figures = {"value": "difference", "low": "difference_low", "high": "difference_high", "runs": "difference_runs"}
        cells = cells.assign(**{name: cells[key] for name, key in figures.items()})
        cells["best"] = (cells["low"] > 0) | (cells["high"] < 0)
        yield _grid(table, cells, f"minus {table.reference}", "+")


def _grid(table: Table, cells: pd.DataFrame, head: str, sign: str = "") -> pd.DataFrame:
    form = f"{sign}.{table.digits}f"

    def shown(value: float, low: float, high: float, runs: float, best: bool) -> str:
        if np.isnan(value):
            return MISSING
        text = f"**{value:{form}}**" if best else f"{value:{form}}"
        text += f" [{MISSING}]" if np.isnan(low) else f" [{low:{form}}, {high:{form}}]"
        return text + (f" x{int(runs)}" if runs > 1 else "")

    text = [shown(*row) for row in cells[["value", "low", "high", "runs", "best"]].itertuples(index=False)]
    rows = dict.fromkeys(zip(cells["protocol"], cells["method"], strict=True))
    found = cells.assign(text=text).pivot(index=["protocol", "method"], columns=table.by, values="text")
    found = found.reindex(index=list(rows), columns=table.columns).astype(object)
    found = found.where(found.notna(), MISSING).reset_index()
    heads = [percent(column) if table.by == "fraction" else column for column in table.columns]
    return found.set_axis(["protocol", head, *heads], axis=1)
