"""Two runs on one test set, paired by patient: `otcxr compare`, `tools/analysis/compare.py`."""

import json
import sys

from .console import ArgumentParser


def main(argv: list[str] | None = None) -> int:
    """Prints the differences."""
    parser = ArgumentParser(description="Compare two runs, per class and on average, with 95 % intervals over patients")
    parser.add_argument("run_a", help="work dir of a run tested with otcxr test")
    parser.add_argument("run_b", help="work dir of another run, tested on the same images")
    parser.add_argument("--out", metavar="FILE.json", help="file for the unrounded figures")
    args = parser.parse_args(argv)

    from .. import reports as tables
    from ..reports.draws import DRAWS
    from ..reports.pair import pair_rows
    from ..utils.markdown import markdown

    try:
        pairs = [tables.load_runs([path]) for path in (args.run_a, args.run_b)]
        for path, found in zip((args.run_a, args.run_b), pairs, strict=True):
            if len(found) > 1:
                raise ValueError(f"{path} holds {len(found)} runs, such as {found[0].folder}: name one of them")
        (a,), (b,) = pairs
        rows = tables.compare_runs(a, b)
    except (FileNotFoundError, ValueError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    for letter, run in (("A", a), ("B", b)):
        r = run.record
        print(f"{letter}: {run.folder}: {run.method}, {r['protocol'] or 'no protocol'}, {100 * r['fraction']:g} %")
    test = a.test
    print(f"{test['type']}, {test['split']}: {test['images']} images, {test['patients']} patients\n")
    head = ["metric", "class", "A", "B", "A minus B", "p (DeLong)"]
    print("\n".join(markdown(head, pair_rows(rows))))
    print(
        f"\nBrackets: 95 % interval over {DRAWS} bootstrap draws of patients, the same for both. DeLong's test treats "
        "images as independent. Neither is corrected for the number of classes."
    )
    if args.out:
        with open(args.out, "w", encoding="utf-8") as stream:
            json.dump(rows, stream, indent=2)
    return 0
