"""What :func:`.classification.report` found, as text."""

from ...utils.markdown import markdown
from ..statistics.bootstrap import FEWEST

NO_INTERVAL = "[-]"


def table(details: dict) -> str:
    """Aligned tables: a row per class and their mean, and a table per attribute of people.

    Args:
        details: As :attr:`otcxr_mm.MultiLabelAUC.details`.
    """
    rows, macro, drawn = details["classes"], details["macro"], bool(details["draws"])
    targets = list(rows[0]["sensitivity"])
    judged = any(row["at_threshold"] for row in rows)
    head = ["class", "positives", "AUROC", "AUPRC", *(f"sens. at {t}" for t in targets), "ECE", "Brier"]
    cells = []
    for row in rows:
        figures = [_figure(row, name, drawn) for name in ("auroc", "auprc")]
        figures += [_short(value) for value in (*row["sensitivity"].values(), row["ece"], row["brier"])]
        cells.append([row["name"], f"{row['positives']} of {row['positives'] + row['negatives']}", *figures])
    mean = [_figure(macro, name, drawn) for name in ("auroc", "auprc")]
    cells.append([f"mean of {macro['classes']}", "", *mean, *[""] * (len(targets) + 2)])
    if judged:
        head.append("F1 at threshold")
        for line, row in zip(cells, [*(row["at_threshold"] or {} for row in rows), macro], strict=True):
            line.append(_figure(row, "f1", drawn))
    lines = markdown(head, cells)
    for attribute, found in details["subgroups"].items():
        if not found:
            continue
        note = f"{attribute}: mean AUROC of the {len(found['classes'])} classes that are defined in each group"
        note += f"; unknown for {found['unknown']} images" if found["unknown"] else ""
        groups = [[name, g["images"], g["patients"], _figure(g, "auroc", drawn)] for name, g in found["groups"].items()]
        lines += ["", note, "", *markdown([attribute, "images", "patients", "AUROC"], groups)]
    if any(NO_INTERVAL in line for line in lines):
        lines += ["", f"{NO_INTERVAL}: a class has fewer than {FEWEST} patients with the finding, or without it"]
    return "\n".join(lines)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _figure(row: dict, name: str, drawn: bool) -> str:
    """A figure with its interval."""
    value, ends = row.get(name), row.get(f"{name}_interval")
    if value is None or not drawn:
        return _short(value)
    return f"{_short(value)} " + (f"[{ends[0]:.3f}, {ends[1]:.3f}]" if ends else NO_INTERVAL)
