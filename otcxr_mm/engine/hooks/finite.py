"""Stops a run whose loss is not finite."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...registry import HOOKS


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Ends training at a NaN or infinite loss, before the checkpoint at the end of the epoch is written.

    Args:
        interval: Iterations between two checks; each check waits for the device.

    Raises:
        FloatingPointError: In training; names the terms that are not finite.
    """

    priority = "NORMAL"

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: dict | None = None
    ) -> None:
        """Checks the losses."""
        last = batch_idx + 1 == len(runner.train_dataloader)
        if not (last or self.every_n_train_iters(runner, self.interval)) or torch.isfinite(outputs["loss"]).all():
            return
        bad = [name for name, value in outputs.items() if not torch.isfinite(torch.as_tensor(value)).all()]
        raise FloatingPointError(
            f"epoch {runner.epoch + 1}, iteration {runner.iter + 1}: {', '.join(bad)} not finite. Resume from the last "
            "checkpoint with a lower learning rate, a longer warm-up or a smaller clip_grad.max_norm"
        )
