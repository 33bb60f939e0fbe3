"""Time to import the package and to show --help, against bare Python and argparse.

python tools/benchmarks/import_time.py [--out FILE]
"""

import subprocess
import sys

from _report import arguments, finish, paired, row


def process(*args: str) -> None:
    """Runs the interpreter."""
    subprocess.run([sys.executable, *args], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Prints and writes the rows."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    args = parser.parse_args()
    bare = "import argparse; argparse.ArgumentParser().parse_args(['--help'])"
    seconds = paired(
        {
            "nothing": lambda: process("-c", "pass"),
            "package": lambda: process("-c", "import otcxr_mm"),
            "argparse": lambda: process("-c", bare),
            "otcxr": lambda: process("-m", "otcxr_mm", "--help"),
        },
        args.rounds,
    )
    rows = [
        row("otcxr --help, seconds", seconds["otcxr"], at_most=0.5),
        row("otcxr --help / argparse alone", seconds["otcxr"] / seconds["argparse"], at_most=1.5),
        row("import otcxr_mm / python alone", seconds["package"] / seconds["nothing"], at_most=1.5),
    ]
    finish(rows, args.out)


if __name__ == "__main__":
    main()
