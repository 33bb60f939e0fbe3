"""Chooses a setting by the validation images."""

from collections.abc import Callable, Sequence

import numpy as np
from mmengine.logging import MMLogger, print_log
from torch import Tensor

from ...evaluation.statistics.auc import per_class


def best(
    settings: Sequence[float],
    scores: Callable[[float], Tensor | None],
    labels: Tensor | None,
    name: str,
    logger: MMLogger | str,
) -> float:
    """The setting with the best macro AUROC on validation images, over the classes for which it is defined.

    Args:
        settings: To choose from; of equal ones, the first is chosen.
        scores: Gives the scores (n, C) of the validation images with a setting; called for each, in this order.
        labels: Of the validation images, (n, C), NaN for unknown; None to take the first setting.
        name: What a setting is called in the log, such as ``'weight decay {:g}'``.
        logger: For the AUROC of each setting, and the choice; ``'silent'`` for none.

    Raises:
        ValueError: If the AUROC is not defined for any class.
    """
    aurocs = {}
    for setting in settings:
        found = scores(setting)
        if labels is None:
            continue
        values, _ = per_class(labels.double().cpu().numpy(), found.double().cpu().numpy())
        if not np.isfinite(values).any():
            raise ValueError(
                f"no class has both positives and negatives among the {len(labels)} validation images, which are "
                "needed to choose: use other or more images in val_dataloader"
            )
        aurocs[setting] = float(np.nanmean(values))
        print_log(f"{name.format(setting)}: macro AUROC on validation images {aurocs[setting]:.4f}", logger)
    chosen = max(aurocs, key=aurocs.get) if aurocs else settings[0]
    print_log(f"chosen: {name.format(chosen)}", logger)
    return chosen
