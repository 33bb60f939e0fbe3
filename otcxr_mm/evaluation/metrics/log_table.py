"""What :func:`.classification.report` found, as text."""

from ..statistics.bootstrap import FEWEST

NO_INTERVAL = "[-]"


def table(details: dict) -> str:
    """An aligned table: a row a class, the mean, and the groups of people.

    Args:
        details: As :attr:`otcxr_mm.MultiLabelAUC.details`.
    """
    from ...utils.markdown import markdown

    rows, macro, drawn = details["classes"], details["macro"], bool(details["draws"])
    targets = list(rows[0]["sensitivity"])
    judged = any(row["at_threshold"] for row in rows)
    head = ["class", "positives", "AUROC", "AUPRC", *(f"sens. at {t}" for t in targets), "ECE", "Brier"]
    cells = []
    for row in rows:
        known = row["positives"] + row["negatives"]
        cells.append(
            [row["name"], f"{row['positives']} of {known}", _with(row, "auroc", drawn), _with(row, "auprc", drawn)]
            + [_short(row["sensitivity"][t]) for t in targets]
            + [_short(row["ece"]), _short(row["brier"])]
            + ([_with(row["at_threshold"] or {}, "f1", drawn)] if judged else [])
        )
    mean = f"mean of {macro['classes']}"
    blank = [""] * (len(targets) + 2)
    cells.append([mean, "", _with(macro, "auroc", drawn), _with(macro, "auprc", drawn), *blank])
    if judged:
        head.append("F1 at threshold")
        cells[-1].append(_with(macro, "f1", drawn))
    lines = markdown(head, cells)
    for attribute, found in details["subgroups"].items():
        if not found:
            continue
        groups = [
            [name, row["images"], row["patients"], _with(row, "auroc", drawn)] for name, row in found["groups"].items()
        ]
        shared = found["classes"]
        note = (
            f"{attribute}: AUROC is the mean of {len(shared)} classes that have positives and negatives in each group"
        )
        others = [row["name"] for row in rows if row["auroc"] is not None and row["name"] not in shared]
        note += f" (all but {', '.join(others)})" if shared and others else ""
        note += f"; unknown for {found['unknown']} images" if found["unknown"] else ""
        note += f"; no such class in {', '.join(found['left_out'])}" if found["left_out"] else ""
        lines += ["", note, "", *markdown([attribute, "images", "patients", "AUROC"], groups)]
    text = "\n".join(lines)
    if NO_INTERVAL in text:
        text += f"\n\n{NO_INTERVAL}: a class has fewer than {FEWEST} patients with the finding, or without it"
    return text


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _with(row: dict, name: str, drawn: bool) -> str:
    """A figure with its interval."""
    value, ends = row.get(name), row.get(f"{name}_interval")
    if value is None or not drawn:
        return _short(value)
    return f"{_short(value)} " + (f"[{ends[0]:.3f}, {ends[1]:.3f}]" if ends else NO_INTERVAL)
