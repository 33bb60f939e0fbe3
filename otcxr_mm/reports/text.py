"""Tables as Markdown, LaTeX and csv."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence

from ..utils.markdown import markdown
from .build import Cell, Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: "\\" + character for character in "&%$#_{}"},
}
_CSV = (
    "table",
    "task",
    "test_type",
    "test_split",
    "test_sha256",
    "images",
    "patients",
    "protocol",
    "method",
    "fraction",
)
_CSV += ("class", "metric", "value", "low", "high", "sd", "best", "runs", "draws", "seeds", "configs")
_CSV += ("reference", "difference", "difference_low", "difference_high")
MISSING = "–"
NO_INTERVAL = f" [{MISSING}]"


def table_markdown(table: Table) -> str:
    """A table, that of its differences, and what the figures mean."""
    lines = [f"## {table.title}", ""]
    for head, rows in _parts(table, lambda text: text.replace("|", r"\|"), "**{}**".format):
        lines += [*markdown(head, rows), ""]
    return "\n".join([*lines, *(f"- {note}" for note in table.notes())]) + "\n"


def table_latex(table: Table) -> str:
    r"""The same for LaTeX; needs `\usepackage{booktabs}`, and `graphicx` for many columns."""
    lines = []
    for number, (head, rows) in enumerate(_parts(table, escape, r"\textbf{{{}}}".format, r" $\times${}")):
        wide = len(head) > 7
        lines += [r"\begin{table}", r"\centering"]
        caption = table.title + (f", differences to {table.reference}" if number else "")
        lines.append(rf"\caption{{{escape(caption)}}}")
        lines += [r"\resizebox{\textwidth}{!}{%"] if wide else []
        lines += [rf"\begin{{tabular}}{{{'l' * len(head)}}}", r"\toprule", " & ".join(head) + r" \\", r"\midrule"]
        before = None
        for row in rows:
            if before not in (None, row[0]):
                lines.append(r"\midrule")
            lines.append(" & ".join(row if row[0] != before else ["", *row[1:]]) + r" \\")
            before = row[0]
        lines += [r"\bottomrule", r"\end{tabular}" + ("}" if wide else "")]
        notes = [] if number else [rf"\par\smallskip\footnotesize {escape(' '.join(table.notes()))}"]
        lines += [*notes, r"\end{table}", ""]
    return "\n".join(lines)


def table_csv(tables: Sequence[Table]) -> str:
    """All figures of `tables` as csv, one row a cell, unrounded; in cells that are not defined, nothing."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _CSV, lineterminator="\n")
    writer.writeheader()
    for number, table in enumerate(tables, 1):
        for row in _long_rows(table):
            writer.writerow({"table": number, **row})
    return stream.getvalue()


def escape(text: str) -> str:
    """Text for LaTeX."""
    return re.sub("|".join(map(re.escape, _LATEX)), lambda found: _LATEX[found.group()], text)


def _parts(
    table: Table, clean: Callable[[str], str], bold: Callable[[str], str], times: str = " x{}"
) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Head and rows of the table and of its differences."""

    def shown(cell: Cell | None, marked: bool, sign: str = "") -> str:
        if cell is None or cell.value is None:
            return MISSING
        form = f"{sign}.{table.digits}f"
        value = f"{cell.value:{form}}"
        text = bold(value) if marked else value
        text += NO_INTERVAL if cell.low is None else f" [{cell.low:{form}}, {cell.high:{form}}]"
        return text + (times.format(len(cell.runs)) if len(cell.runs) > 1 else "")

    columns = [clean(table.head(column)) for column in table.columns]
    rows = []
    for protocol, method in table.rows:
        cells = [table.cells.get((protocol, method, column)) for column in table.columns]
        rows.append([clean(protocol), clean(method), *(shown(c, c is not None and c.best) for c in cells)])
    yield ["protocol", "method", *columns], rows
    if not table.differences:
        return
    rows = []
    for protocol, method in table.rows:
        cells = [table.differences.get((protocol, method, column)) for column in table.columns]
        if any(cells):
            shown_cells = (shown(c, c is not None and c.differs, "+") for c in cells)
            rows.append([clean(protocol), clean(method), *shown_cells])
    yield ["protocol", clean(f"minus {table.reference}"), *columns], rows


def _long_rows(table: Table) -> Iterator[dict]:
    test = table.runs[0].test
    for (protocol, method, column), cell in table.cells.items():
        row = {
            "task": table.task,
            "test_type": test["type"],
            "test_split": test["split"],
            "test_sha256": test["sha256"],
            "images": test["images"],
            "patients": test["patients"],
            "protocol": protocol,
            "method": method,
            "fraction": column if table.by == "fraction" else table.fraction,
            "class": "macro" if table.by == "fraction" else column,
            "metric": table.metric,
            "value": cell.value,
            "low": cell.low,
            "high": cell.high,
            "sd": cell.sd,
            "best": int(cell.best),
            "runs": len(cell.runs),
        }
        for key in ("draw", "seed", "config"):
            row[f"{key}s"] = " ".join(dict.fromkeys(str(run.record[key]) for run in cell.runs))
        difference = table.differences.get((protocol, method, column))
        if difference is not None:
            row["reference"] = table.reference
            row.update(difference=difference.value, difference_low=difference.low, difference_high=difference.high)
        yield row
