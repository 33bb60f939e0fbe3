"""Two runs on one test set, paired by patient: `otcxr compare`, `tools/analysis/compare.py`."""

import json

from ..utils.files import write_whole
from .console import ArgumentParser, command


@command
def main(argv: list[str] | None = None) -> None:
    """Prints the differences."""
    parser = ArgumentParser(description="Compare two runs, per class and on average, with 95 % intervals over patients")
    parser.add_argument("run_a", help="work dir of a run tested with otcxr test")
    parser.add_argument("run_b", help="work dir of another run, tested on the same images")
    parser.add_argument("--out", metavar="FILE.json", help="file for the unrounded figures")
    args = parser.parse_args(argv)

    from ..reports import compare_runs, load_runs
    from ..reports.draws import DRAWS, NAMES
    from ..utils.markdown import markdown

    runs = load_runs([args.run_a, args.run_b])
    if len(runs) != 2:
        raise SystemExit(f"expected two runs, found {', '.join(str(run.folder) for run in runs)}")
    rows = compare_runs(*runs)
    for letter, run in zip("AB", runs, strict=True):
        print(f"{letter}: {run.folder}: {run.method}, {run.protocol or 'no protocol'}, {100 * run.fraction:g} %")
    test = runs[0].test
    print(f"{test['type']}, {test['split']}: {test['images']} images, {test['patients']} patients\n")
    head = ["metric", "class", "A", "B", "A minus B", "p (DeLong)"]
    print("\n".join(markdown(head, [[NAMES[row["metric"]], row["class"], *_shown(row)] for row in rows])))
    print(
        f"\nBrackets: 95 % interval over {DRAWS} bootstrap draws of patients, the same for both. DeLong's test treats "
        "images as independent. Neither is corrected for the number of classes."
    )
    if args.out:
        write_whole(args.out, json.dumps(rows, indent=2).encode())


def _shown(row: dict) -> list[str]:
    a, b, difference, p = (
        "–" if row[key] is None else f"{row[key]:{form}}"
        for key, form in (("a", ".3f"), ("b", ".3f"), ("difference", "+.3f"), ("p", ".2g"))
    )
    if row["difference"] is not None:
        difference += " [–]" if row["low"] is None else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
    return [a, b, difference, p]
