"""Fits a head of nearest neighbours, and what such fits are chosen by."""

from collections.abc import Sequence
from logging import Logger

import numpy as np
from torch import Tensor

from ...evaluation.statistics.auc import per_class
from ...models.heads import KNNHead

KS = (5, 10, 20, 50, 100)


def fit_neighbours(
    head: KNNHead, ks: Sequence[int], train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor] | None, logger: Logger
) -> None:
    """Puts the training images into the head and chooses the number of neighbours on the validation images.

    Args:
        head: The head.
        ks: Numbers of neighbours to try; those above the number of training images are left out.
        train: Features (n, D) and labels (n, C) of the training images.
        val: Those of the validation images; None for a single number.
        logger: Gets the macro AUROC for each number.
    """
    head.set_bank(*train)
    best = None
    for k in [k for k in ks if k <= len(train[0])] or ks[:1]:
        head.k, auroc = k, float("nan")
        if val is not None:
            auroc = validation_auroc(val[1], head((val[0].to(head.bank),)))
            logger.info(f"{k} neighbours: macro AUROC on validation images {auroc:.4f}")
        if best is None or auroc > best[0]:
            best = auroc, k
    head.k = best[1]
    logger.info(f"{head.k} neighbours are taken")


def validation_auroc(labels: Tensor, scores: Tensor) -> float:
    """Macro AUROC on validation images, over the classes for which it is defined.

    Args:
        labels: (n, C): 1, 0, or NaN for unknown.
        scores: (n, C), of any scale.

    Raises:
        ValueError: If it is defined for no class.
    """
    values, _ = per_class(labels.double().cpu().numpy(), scores.double().cpu().numpy())
    if not np.isfinite(values).any():
        raise ValueError(
            f"no class has both positives and negatives among the {len(labels)} validation images, so they cannot be "
            "used to choose: set val_dataloader to more images, or others"
        )
    return float(np.nanmean(values))
