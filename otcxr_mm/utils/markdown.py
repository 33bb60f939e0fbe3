"""Tables in Markdown."""

from collections.abc import Sequence

from .escape import for_markdown


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table with columns aligned in plain text as well; numbers to the right."""
    cells = [[for_markdown(str(cell)).replace("|", r"\|") for cell in row] for row in (head, *rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(head))]
    right = [bool(rows) and all(not isinstance(row[i], str) for row in rows) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True))
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * (w - 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)]
    return [line(cells[0]), line(rule), *map(line, cells[1:])]
