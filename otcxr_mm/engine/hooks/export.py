"""Writes the backbone to a separate file at the end of training."""

import os

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...backbones import save_backbone
from ...registry import HOOKS
from ..model import backbone_weights, unwrap_model
from ..provenance import KEY


@HOOKS.register_module()
class ExportBackboneHook(Hook):
    """Writes `WORK_DIR/backbone.pth` and `backbone.json` when training ends, see :func:`otcxr_mm.save_backbone`."""

    priority = "LOWEST"

    def after_train(self, runner: Runner) -> None:
        """Writes both files, and logs the path."""
        weights = backbone_weights(runner)
        if not is_main_process():
            return
        path = os.path.join(runner.work_dir, "backbone.pth")
        provenance = runner.message_hub.get_info(KEY)
        length = {"epochs": runner.epoch, "iterations": runner.iter}
        save_backbone(unwrap_model(runner), path, runner.cfg, provenance, weights, **length)
        runner.logger.info(f"backbone written to {path}")
