"""Counts what a config's data sets hold: python tools/visualization/dataset_stats.py CONFIG [--out DIR]."""

from otcxr_mm.cli.stats import main

if __name__ == "__main__":
    main()
