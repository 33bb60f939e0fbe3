"""Two runs on one test set, paired by patient: python tools/analysis/compare.py RUN_A RUN_B [--out FILE.json]."""

import sys

from otcxr_mm.cli.compare import main

if __name__ == "__main__":
    sys.exit(main())
