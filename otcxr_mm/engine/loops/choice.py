"""Chooses a setting by the validation images."""

from collections.abc import Callable, Sequence

import numpy as np
from mmengine.logging import MMLogger
from torch import Tensor

from ...evaluation.statistics.auc import per_class


def best(
    settings: Sequence[float],
    scores: Callable[[float], Tensor | None],
    labels: Tensor | None,
    name: str,
    logger: MMLogger,
) -> float:
    """The setting with the best macro AUROC on validation images.

    Args:
        settings: To choose from; of equal ones, the first is chosen.
        scores: Gives the scores (n, C) of the validation images with a setting; called for each, in this order.
        labels: Of the validation images, (n, C); None to take the first setting.
        name: What a setting is called in the log, such as ``'weight decay {:g}'``.
        logger: For the AUROC of each setting, and the choice.
    """
    aurocs = {}
    for setting in settings:
        found = scores(setting)
        if labels is not None:
            aurocs[setting] = validation_auroc(labels, found)
            logger.info(f"{name.format(setting)}: macro AUROC on validation images {aurocs[setting]:.4f}")
    chosen = max(aurocs, key=aurocs.get) if aurocs else settings[0]
    logger.info(f"chosen: {name.format(chosen)}")
    return chosen


def validation_auroc(labels: Tensor, scores: Tensor) -> float:
    """Macro AUROC to choose by, over the classes that are defined.

    Args:
        labels: (n, C): 1, 0, or NaN for unknown.
        scores: (n, C), of any scale.

    Raises:
        ValueError: If it is not defined for any class.
    """
    values, _ = per_class(labels.double().cpu().numpy(), scores.double().cpu().numpy())
    if not np.isfinite(values).any():
        raise ValueError(
            f"no class has both positives and negatives among the {len(labels)} validation images, so that nothing can "
            "be chosen by them: take others in val_dataloader, or more"
        )
    return float(np.nanmean(values))
