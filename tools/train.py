"""Trains a model: python tools/train.py CONFIG [--resume] [--amp] [--cfg-options KEY=VALUE ...]."""

from otcxr_mm.apis.launch import train

if __name__ == "__main__":
    train()
