"""Weights of positives, counted on the training images only."""

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets.inspection import leaves
from ...registry import HOOKS
from ..model import unwrap_model


@HOOKS.register_module()
class PositiveWeightHook(Hook):
    """Sets `pos_weight` of a MaskedBCELoss with ``pos_weight='train'`` to negatives / positives of the training images.

    Unknown labels are not counted. A class without positives or without negatives gets 1, with a warning.

    Args:
        max_weight: Weights are clipped to [1 / max_weight, max_weight], so that a class with very few positives does
            not dominate.

    Raises:
        ValueError: Before training, if a training set has no labels, or `max_weight` is below 1.
    """

    def __init__(self, max_weight: float = 100.0) -> None:
        if max_weight < 1:
            raise ValueError(f"PositiveWeightHook: max_weight must be at least 1, got {max_weight}")
        self.max_weight = max_weight

    def before_train(self, runner: Runner) -> None:
        """Counts the labels and sets the weights, if the loss waits for them.

        Raises:
            ValueError: If a training set has no labels.
        """
        loss = getattr(getattr(unwrap_model(runner), "head", None), "loss_module", None)
        if not getattr(loss, "waits_for_counts", False):
            return
        datasets = list(leaves(runner.train_dataloader.dataset))
        labels = []
        for dataset in datasets:
            if hasattr(dataset, "full_init"):
                dataset.full_init()
            records = getattr(dataset, "records", None)
            if records is None or records.labels is None:
                raise ValueError(
                    f"pos_weight='train': {type(dataset).__name__} has no labels to count; give pos_weight as a list"
                )
            labels.append(records.labels)
        labels = np.concatenate(labels)
        positives, negatives = (labels == 1).sum(0), (labels == 0).sum(0)
        weight = np.clip(negatives / np.maximum(positives, 1), 1 / self.max_weight, self.max_weight)
        undefined = (positives == 0) | (negatives == 0)
        weight[undefined] = 1.0
        loss.set_pos_weight(weight.tolist())
        names = (getattr(runner.train_dataloader.dataset, "metainfo", None) or {}).get("classes") or range(len(weight))
        text = ", ".join(f"{name} {w:.3g}" for name, w in zip(names, weight, strict=True))
        runner.logger.info(f"weights of positives from {len(labels)} training images: {text}")
        if undefined.any():
            lacking = ", ".join(str(name) for name, no in zip(names, undefined, strict=True) if no)
            runner.logger.warning(f"classes without positives or without negatives get weight 1: {lacking}")
