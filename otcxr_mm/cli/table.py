"""Makes tables of finished downstream runs: `otcxr table`, `tools/analysis/table.py`."""

import io
from pathlib import Path

from ..utils.files import write_whole
from .console import ArgumentParser, command


@command
def main(argv: list[str] | None = None) -> None:
    """Prints the tables as Markdown, and writes table.md, table.csv, table.tex and table.png."""
    parser = _parser()
    args = parser.parse_args(argv)
    names = dict(name.rpartition("=")[::2] for name in args.name)
    if "" in names or "" in names.values():
        parser.error("--name: expected RUN_METHOD_OR_TYPE=LABEL")

    from .. import reports
    from ..reports.picture import table_picture

    runs = reports.load_runs(args.runs)
    reports.rename(runs, names)
    tables = reports.build_tables(reports.tasks(runs), args.metric, args.by, args.reference)
    text = "\n".join(map(reports.table_markdown, tables))
    print(text)
    if args.out:
        out = Path(args.out)
        latex = "\n".join(map(reports.table_latex, tables))
        files = {"table.md": text, "table.csv": reports.table_csv(tables), "table.tex": latex}
        for name, content in files.items():
            write_whole(out / name, content.encode())
        pictures = [f"table_{i}.png" for i in range(1, len(tables) + 1)] if len(tables) > 1 else ["table.png"]
        for name, table in zip(pictures, tables, strict=True):
            buffer = io.BytesIO()
            table_picture(table).savefig(buffer, format="png", dpi=150)
            write_whole(out / name, buffer.getvalue())
        print(f"{out}: {', '.join([*files, *pictures])}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description="Compare runs, with 95 % intervals over patients and paired differences")
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="work dir of a tested run, or a folder of such work dirs")
    add("--out", metavar="DIR", help="folder for table.md, .csv, .tex and .png; default: print only")
    add("--reference", metavar="METHOD", help='method to compare with; default: "random init", or else the first')
    metrics = ["auroc", "auprc", "dice", "iou", "hd95"]
    add("--metric", choices=metrics, help="default: auroc for classification, dice for segmentation")
    columns = "columns: shares of the training patients, or classes (one table per share)"
    add("--by", choices=["fraction", "class"], default="fraction", help=columns)
    labels = "label to show for a method, for the method of one run, or for a type of data set"
    add("--name", nargs="+", action="extend", default=[], metavar="RUN_METHOD_OR_TYPE=LABEL", help=labels)
    return parser
