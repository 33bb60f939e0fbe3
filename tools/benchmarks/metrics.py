"""Bootstrap of the macro AUROC at the size of NIH's test list, against a loop over scikit-learn.

python tools/benchmarks/metrics.py [--out FILE]
"""

import resource
import time

import numpy as np
from _report import arguments, finish, row
from sklearn.metrics import average_precision_score, roc_auc_score

from otcxr_mm.evaluation.statistics.auc import bootstrap_per_class
from otcxr_mm.evaluation.statistics.bootstrap import patient_weights

IMAGES, PATIENTS, DRAWS = 25_596, 2_797, 2_000
# share of positives of the 14 classes, common to rare
SHARES = (0.24, 0.18, 0.13, 0.10, 0.07, 0.068, 0.063, 0.045, 0.043, 0.042, 0.036, 0.022, 0.017, 0.0034)
CALLS = 3  # draws computed with scikit-learn; the others would take the same time


def main() -> None:
    """Times both, and compares their values."""
    args = arguments(__doc__.splitlines()[0]).parse_args()
    rng = np.random.default_rng(0)
    labels = (rng.random((IMAGES, len(SHARES))) < SHARES).astype(float)
    # in half precision, as many models give them, so with ties
    scores = (1 / (1 + np.exp(2 - labels - rng.normal(0, 1, labels.shape)))).astype(np.float16).astype(float)
    patient = np.concatenate([np.arange(PATIENTS), rng.integers(0, PATIENTS, IMAGES - PATIENTS)])
    bootstrap_per_class(labels[:500], scores[:500], patient[:500], patient_weights(patient, 1))  # imports
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    start = time.perf_counter()
    counts = patient_weights(patient, DRAWS)
    found = bootstrap_per_class(labels, scores, patient, counts)
    seconds = time.perf_counter() - start
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    start, worst = time.perf_counter(), 0.0
    for draw in range(CALLS):
        weights = counts[draw][patient]
        for c in range(len(SHARES)):
            for value, measure in zip(found, (roc_auc_score, average_precision_score), strict=True):
                expected = measure(labels[:, c], scores[:, c], sample_weight=weights)
                worst = max(worst, abs(value[draw, c] - expected))
    loop = (time.perf_counter() - start) / CALLS * DRAWS

    size = f"{IMAGES} images x {len(SHARES)} classes, {DRAWS} draws of {PATIENTS} patients"
    finish(
        [
            row(f"seconds for AUROC and AUPRC: {size}", seconds, at_most=30),
            row("memory in addition to labels and scores, MiB", memory, at_most=300),
            row(
                f"times faster than a loop over scikit-learn (extrapolated from {CALLS} draws)",
                loop / seconds,
                at_least=20,
            ),
            row("largest difference from scikit-learn", worst, at_most=1e-12),
        ],
        args.out,
    )


if __name__ == "__main__":
    main()
