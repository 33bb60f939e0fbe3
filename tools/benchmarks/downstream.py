"""The downstream targets, read from the figures of the last series: docs/results/downstream/table.csv.

    python tools/benchmarks/downstream.py [--out FILE]

The series itself takes an hour: tools/analysis/downstream.py, then tools/analysis/table.py.
"""

import csv
from pathlib import Path

from _report import arguments, finish, row

TABLE = Path(__file__).resolve().parents[2] / "docs" / "results" / "downstream" / "table.csv"


def main() -> None:
    """Reads and compares."""
    args = arguments(__doc__.splitlines()[0]).parse_args()
    with open(TABLE, newline="", encoding="utf-8") as stream:
        cells = [cell for cell in csv.DictReader(stream) if cell["class"] in ("", "macro")]
    rows = []
    for cell in cells:
        if (cell["metric"], cell["protocol"], cell["method"], float(cell["fraction"])) == (
            "dice",
            "finetune",
            "OTCXR",
            1,
        ):
            name = "Dice of lungs, fine-tuned on all labels, test patients"
            rows.append(row(name, float(cell["value"]), at_least=0.90))
            rows.append(row(f"{name}: minus random init", float(cell["difference"])))
    draws = [int(cell["runs"]) for cell in cells if float(cell["fraction"]) < 1]
    rows.append(row("fewest draws of a small share of the labels", min(draws), at_least=5))
    finish(rows, args.out)


if __name__ == "__main__":
    main()
