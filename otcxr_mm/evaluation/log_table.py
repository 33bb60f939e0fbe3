"""What :func:`.classification.report` found, as text."""


def table(details: dict) -> str:
    """An aligned table: a row a class, the mean, and the groups of people.

    Args:
        details: As :attr:`otcxr_mm.MultiLabelAUC.details`.
    """
    from ..datasets.audit import markdown

    rows, macro = details["classes"], details["macro"]
    targets = list(rows[0]["sensitivity"])
    judged = any(row["at_threshold"] for row in rows)
    head = ["class", "positives", "AUROC", "AUPRC", *(f"sens. at {t}" for t in targets), "ECE", "Brier"]
    cells = []
    for row in rows:
        known = row["positives"] + row["negatives"]
        cells.append(
            [row["name"], f"{row['positives']} of {known}", _with(row, "auroc"), _with(row, "auprc")]
            + [_short(row["sensitivity"][t]) for t in targets]
            + [_short(row["ece"]), _short(row["brier"])]
            + ([_with(row["at_threshold"] or {}, "f1")] if judged else [])
        )
    mean = f"mean of {macro['classes']}"
    blank = [""] * (len(targets) + 2)
    cells.append([mean, "", _with(macro, "auroc"), _with(macro, "auprc"), *blank])
    if judged:
        head.append("F1 at threshold")
        cells[-1].append(_with(macro, "f1"))
    lines = markdown(head, cells)
    for attribute, found in details["subgroups"].items():
        if not found:
            continue
        groups = [[name, row["images"], row["patients"], _with(row, "auroc")] for name, row in found["groups"].items()]
        shared = found["classes"]
        note = (
            f"{attribute}: AUROC is the mean of {len(shared)} classes that have positives and negatives in each group"
        )
        others = [row["name"] for row in rows if row["auroc"] is not None and row["name"] not in shared]
        note += f" (all but {', '.join(others)})" if shared and others else ""
        note += f"; unknown for {found['unknown']} images" if found["unknown"] else ""
        note += f"; no such class in {', '.join(found['left_out'])}" if found["left_out"] else ""
        lines += ["", note, "", *markdown([attribute, "images", "patients", "AUROC"], groups)]
    return "\n".join(lines)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _with(row: dict, name: str) -> str:
    ends = row.get(f"{name}_interval")
    return _short(row.get(name)) + (f" [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else "")
