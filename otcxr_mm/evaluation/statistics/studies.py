"""Scores of studies, which may have several images."""

import numpy as np

POOLED = ("mean", "max")


def pool(values: np.ndarray, study: np.ndarray, how: str) -> np.ndarray:
    """Combines the values of the images of each study.

    Args:
        values: (n, C).
        study: Code of each image's study, from 0 to S - 1, each of which has an image, (n,).
        how: ``'mean'`` or ``'max'``. NaN counts as unknown in the maximum, and makes a mean NaN.

    Returns:
        (S, C), in the order of the codes.
    """
    order = np.argsort(study, kind="stable")
    counts = np.bincount(study)
    starts = np.cumsum(counts) - counts
    if how == "max":
        return np.fmax.reduceat(values[order], starts)
    return np.add.reduceat(values[order], starts) / counts[:, None]
