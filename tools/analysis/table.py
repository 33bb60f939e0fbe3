"""Tables of finished downstream runs: python tools/analysis/table.py RUNS... [--out DIR] [--reference METHOD]."""

import sys

from otcxr_mm.cli.table import main

if __name__ == "__main__":
    sys.exit(main())
