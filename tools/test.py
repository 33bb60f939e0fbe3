"""Tests a run or a checkpoint: python tools/test.py WORK_DIR, or CONFIG CHECKPOINT [--out metrics.json]."""

from otcxr_mm.cli.test import main

if __name__ == "__main__":
    main()
