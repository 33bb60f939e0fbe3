"""Weights of positives, counted on the training images only."""

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets.inspection import all_labels
from ...registry import HOOKS
from ..model import unwrap_model

MAX_WEIGHT = 100.0


@HOOKS.register_module()
class PositiveWeightHook(Hook):
    """Sets `pos_weight` of a MaskedBCELoss with ``pos_weight='train'`` to negatives / positives of the training images.

    Unknown labels are not counted. A class without positives or without negatives gets 1, with a warning.

    Weights are clipped to [1 / 100, 100], so that a class with very few positives does not dominate.
    """

    def before_train(self, runner: Runner) -> None:
        """Counts the labels and sets the weights, if the loss waits for them."""
        loss = getattr(getattr(unwrap_model(runner), "head", None), "loss_module", None)
        if not getattr(loss, "waits_for_counts", False):
            return
        labels = all_labels(runner.train_dataloader.dataset)
        positives, negatives = (labels == 1).sum(0), (labels == 0).sum(0)
        weight = np.clip(negatives / np.maximum(positives, 1), 1 / MAX_WEIGHT, MAX_WEIGHT)
        undefined = (positives == 0) | (negatives == 0)
        weight[undefined] = 1.0
        loss.set_pos_weight(weight.tolist())
        names = runner.train_dataloader.dataset.metainfo["classes"]
        text = ", ".join(f"{name} {w:.3g}" for name, w in zip(names, weight, strict=True))
        runner.logger.info(f"weights of positives from {len(labels)} training images: {text}")
        if undefined.any():
            lacking = ", ".join(str(name) for name, no in zip(names, undefined, strict=True) if no)
            runner.logger.warning(f"classes without positives or without negatives get weight 1: {lacking}")
