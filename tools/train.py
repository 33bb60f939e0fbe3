"""Trains a model: python tools/train.py CONFIG [--resume] [--amp] [--cfg-options KEY=VALUE ...]."""

from otcxr_mm.cli.train import main

if __name__ == "__main__":
    main()
