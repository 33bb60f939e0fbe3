"""Writes the backbone to a separate file at the end of training."""

import os

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...backbones import save_backbone
from ...datasets.inspection import data_sha256
from ...registry import HOOKS
from ..model import unwrap_model
from ..preprocessing import preprocessing_of


@HOOKS.register_module()
class ExportBackboneHook(Hook):
    """Writes `WORK_DIR/backbone.pth` and `backbone.json` when training ends, see :func:`otcxr_mm.save_backbone`.

    Args:
        filename: Name of the weights in the work dir.
    """

    priority = "LOWEST"

    def __init__(self, filename: str = "backbone.pth") -> None:
        self.filename = filename

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Writes both files, and logs the path."""
        model = unwrap_model(runner)
        path = os.path.join(runner.work_dir, self.filename)
        dataset = runner.train_dataloader.dataset
        facts = {key: preprocessing_of(runner.cfg)[key] for key in ("size", "max_value")}
        facts |= {"training_images": len(dataset), "data_sha256": data_sha256(dataset)}
        save_backbone(model, path, runner.cfg, **facts, epochs=runner.epoch, iterations=runner.iter)
        runner.logger.info(f"backbone written to {path}")
