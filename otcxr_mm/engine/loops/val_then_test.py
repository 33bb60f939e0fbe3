"""Thresholds from validation images, then the test."""

import torch
from mmengine.evaluator import Evaluator
from mmengine.runner import TestLoop
from mmengine.runner.amp import autocast

from ...registry import LOOPS


@LOOPS.register_module()
class ValThenTestLoop(TestLoop):
    """MMEngine's TestLoop, before which the same weights go over the validation images to choose thresholds.

    A metric of the test that has `thresholds` (:class:`otcxr_mm.MultiLabelAUC`) gets those of the best F1 on
    validation images: chosen on the test images they would flatter. Without validation data nothing is chosen.
    """

    def run(self) -> dict:
        """Validates, hands the thresholds over, tests."""
        val_loop = self.runner.val_loop
        if val_loop is not None:
            self.runner.logger.info("thresholds are chosen on the validation images")
            self._evaluate(val_loop.dataloader, val_loop.evaluator)
            # details are None in all processes but the main one, which alone computes metrics
            details = [getattr(metric, "details", None) or {} for metric in val_loop.evaluator.metrics]
            found = next((one for one in details if "best_f1" in one), {})
            for metric in self.evaluator.metrics:
                if hasattr(metric, "thresholds"):
                    metric.thresholds = found.get("best_f1")
        return super().run()

    @torch.no_grad()
    def _evaluate(self, loader: object, evaluator: Evaluator) -> None:
        """A validation without the hooks, one of which would save a checkpoint."""
        model = self.runner.model
        model.eval()
        for batch in loader:
            with autocast(enabled=self.fp16):
                samples = model.val_step(batch)
            evaluator.process(data_samples=samples, data_batch=batch)
        evaluator.evaluate(len(loader.dataset))
