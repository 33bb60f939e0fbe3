"""Time of `make demo` after the installation, on this machine.

python tools/benchmarks/demo.py [--seed N] [--out FILE]
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _report import arguments, finish, row

DEMO = Path(__file__).resolve().parents[1] / "demo.py"


def main() -> None:
    """Prints and writes the rows."""
    parser = arguments(__doc__)
    parser.add_argument("--seed", default="0")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([sys.executable, DEMO, "--out", folder, "--seed", args.seed], check=True)
        seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = [
        row(f"seconds of make demo on {os.cpu_count()} cores", seconds, at_most=300),
        row("seconds of CPU time", used.ru_utime + used.ru_stime),
    ]
    finish(rows, args.out)


if __name__ == "__main__":
    main()
