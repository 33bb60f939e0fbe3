"""Makes random draws a function of (seed, epoch, iteration), so that a resumed run equals an uninterrupted one."""

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets.inspection import leaves
from ...registry import HOOKS


@HOOKS.register_module()
class ReproducibilityHook(Hook):
    """Makes every random draw of training depend on (seed, epoch, iteration) and not on what ran before.

    MMEngine saves no generator state, so a resumed run would draw other numbers. This hook seeds the generators before
    each iteration, and those of the data sets for each (seed, epoch, data set, image). An image that RepeatDataset
    shows twice in an epoch therefore gets the same draws. Together with :class:`otcxr_mm.ResumableTrainLoop`, a killed
    and resumed run ends with bit-for-bit the same parameters (on a CPU).
    """

    priority = "VERY_HIGH"

    def _seed(self, runner: Runner, *key: int) -> None:
        draw = int(np.random.SeedSequence([runner.seed, *key]).generate_state(1)[0])
        random.seed(draw)
        np.random.seed(draw)
        torch.manual_seed(draw)

    def before_train_epoch(self, runner: Runner) -> None:
        """Tells the data sets the epoch before the workers start, and seeds the loader's draws."""
        for stream, dataset in enumerate(leaves(runner.train_dataloader.dataset)):
            if hasattr(dataset, "set_epoch"):
                dataset.set_epoch(runner.seed, runner.epoch, stream)
        sampler = runner.train_dataloader.sampler
        if hasattr(sampler, "seed") and not runner._randomness_cfg.get("diff_rank_seed"):
            sampler.seed = runner.seed  # without a seed in the config, a resumed run uses the checkpoint's
        self._seed(runner, 0, runner.epoch)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        """Seeds the model's draws (dropout, drop path), differently for each rank."""
        self._seed(runner, 1, runner.iter, get_rank())
