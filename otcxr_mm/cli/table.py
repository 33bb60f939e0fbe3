"""Makes tables of finished downstream runs: `otcxr table`, `tools/analysis/table.py`."""

import sys
from pathlib import Path

from .console import ArgumentParser


def main(argv: list[str] | None = None) -> int:
    """Prints the tables as Markdown, and writes table.md, table.csv, table.tex and table.png."""
    parser = ArgumentParser(
        description="Compare methods in tables, with 95 % intervals over patients and paired differences"
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="work dir of a run tested with otcxr test, or a folder of such work dirs"
    )
    parser.add_argument("--out", metavar="DIR", help="folder for table.md, .csv, .tex and .png; default: print only")
    parser.add_argument(
        "--reference",
        metavar="METHOD",
        help='method to compare the others with; default: "random init", or else the first method',
    )
    parser.add_argument(
        "--metric",
        choices=["auroc", "auprc", "dice", "iou", "hd95"],
        help="default: auroc for classification, dice for segmentation",
    )
    parser.add_argument(
        "--by",
        choices=["fraction", "class"],
        default="fraction",
        help="columns: shares of the training patients, or classes (one table per share)",
    )
    parser.add_argument(
        "--name",
        nargs="+",
        action="extend",
        default=[],
        metavar="RUN_METHOD_OR_TYPE=LABEL",
        help="label to show for a method, for the method of one run, or for a type of data set",
    )
    parser.add_argument(
        "--by-test-set",
        action="store_true",
        help="one table per test set, if runs were tested on different images of a data set",
    )
    args = parser.parse_args(argv)
    names = dict(name.rpartition("=")[::2] for name in args.name)
    if "" in names or "" in names.values():
        parser.error("--name: expected RUN_METHOD_OR_TYPE=LABEL")

    from .. import reports as tables

    try:
        runs = tables.load_runs(args.runs)
        tables.rename(runs, names)
        found = tables.build_tables(tables.tasks(runs, args.by_test_set), args.metric, args.by, args.reference)
    except (FileNotFoundError, ValueError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    text = "\n".join(map(tables.table_markdown, found))
    print(text)
    if args.out:
        print(f"{args.out}: {', '.join(_write(Path(args.out), found, text))}")
    return 0


def _write(out: Path, tables: list, text: str) -> list[str]:
    """Writes the files, with one picture per table, and returns their names."""
    from ..reports import table_csv, table_latex
    from ..reports.picture import table_picture

    out.mkdir(parents=True, exist_ok=True)
    latex = "\n".join(map(table_latex, tables))
    files = {"table.md": text, "table.csv": table_csv(tables), "table.tex": latex}
    for name, content in files.items():
        (out / name).write_text(content, encoding="utf-8")
    pictures = ["table.png"] if len(tables) == 1 else [f"table_{i + 1}.png" for i in range(len(tables))]
    for name, one in zip(pictures, tables, strict=True):
        table_picture(one).savefig(out / name, dpi=150)
    return [*files, *pictures]
