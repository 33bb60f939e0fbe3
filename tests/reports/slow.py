"""An oracle for the figures of a table."""

import numpy as np


def slow(folders, metric, draws):
    """Macro of the mean over runs, on the test set and on each draw: a loop over draws of repeated images."""
    rows = []
    for folder in folders:
        arrays = np.load(folder / "predictions.npz")
        patient, count = arrays["patient"], int(arrays["patient"].max()) + 1
        counts = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=draws)
        drawn = []
        for weight in [np.ones(count, int), *counts]:
            images = np.repeat(np.arange(len(patient)), weight[patient])
            values = []
            for c in range(3):
                y, s = arrays["labels"][images, c], arrays["scores"][images, c]
                known = np.isfinite(y)
                values.append(metric(y[known], s[known]))
            drawn.append(np.mean(values))
        rows.append(drawn)
    # runs are drawn with replacement, too
    n = len(rows)
    times = np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), size=draws + 1)
    times[0] = 1
    return np.array([np.mean(np.repeat([row[d] for row in rows], times[d])) for d in range(draws + 1)])
