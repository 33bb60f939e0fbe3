"""Writes one HTML page about one run or several: `otcxr report`."""

from pathlib import Path

from ..utils.files import write_whole
from .console import ArgumentParser, command

NAME = "report.html"


@command
def main(argv: list[str] | None = None) -> None:
    """Writes the page, and prints its path and size."""
    parser = ArgumentParser(
        description="Write one HTML page about one run or several side by side, finished or not: what was run, curves, "
        "pictures, test results, environment, warnings"
    )
    parser.add_argument("work_dirs", nargs="+", metavar="WORK_DIR", help="work dir of a run, at whatever stage it is")
    parser.add_argument("--out", metavar="FILE.html", help=f"default for one run: WORK_DIR/{NAME}")
    args = parser.parse_args(argv)
    if args.out is None and len(args.work_dirs) > 1:
        parser.error("several runs need --out FILE.html")

    from ..reports.page import build_report

    out = Path(args.out or Path(args.work_dirs[0]) / NAME)
    page = build_report(args.work_dirs).encode()
    write_whole(out, page)
    print(f"{out}: {len(page) / 1e6:.1f} MB")
