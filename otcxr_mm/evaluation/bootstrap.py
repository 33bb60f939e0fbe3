"""Draws of patients with replacement, the same for every metric and run."""

import numpy as np


def patient_weights(patient: np.ndarray, draws: int = 2000, seed: int = 0) -> np.ndarray:
    """How often each draw holds each patient.

    Args:
        patient: (n,), int, code of each image's patient, 0 to P - 1.
        draws: Number of draws.
        seed: Of the draws.

    Returns:
        (draws, P), int; each row sums to P.
    """
    count = int(patient.max()) + 1
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
