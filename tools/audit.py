"""Looks for leaks: python tools/audit.py CONFIG [--pretrain CONFIG2] [--pixels] [--show-ids]."""

import sys

from otcxr_mm.cli.audit import main

if __name__ == "__main__":
    sys.exit(main())
