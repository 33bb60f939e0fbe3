"""Prepares a data set: python tools/dataset_converters/prepare_cxr.py CONFIG OUT [--size 256] [--depth 16]."""

from otcxr_mm.cli.prepare import main

if __name__ == "__main__":
    main()
