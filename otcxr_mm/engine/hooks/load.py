"""Loads pre-trained weights, or raises an error."""

from mmengine.hooks import Hook
from mmengine.registry import MODELS
from mmengine.runner import Runner

from ...backbones import load_backbone_weights
from ...registry import HOOKS
from ..model import is_sharded, unwrap_model
from ..norms import calibrate_batch_norm


@HOOKS.register_module()
class LoadBackboneHook(Hook):
    """Loads the model's backbone before training (:func:`otcxr_mm.load_backbone_weights`), unless the run is resumed.

    With MMEngine's ``init_cfg=dict(type='Pretrained')``, training starts from scratch if no name fits, with only a line
    in the log; here that is an error. The hook works in MMPretrain and MMSegmentation alike.

    Args:
        checkpoint: Local file; ``'torchvision://resnet50'`` or an address, see :func:`otcxr_mm.load_backbone_weights`;
            None leaves the backbone as initialised, as a baseline.
        calibrate: Whether to set the batch norm statistics to those of up to 1,024 training images afterwards. Use it
            for an untrained backbone that stays frozen, whose own statistics come from no data, and for weights that
            were trained on other images, such as ImageNet's.

    Raises:
        FileNotFoundError: Before training, if there is no such file.
        ValueError: Before training, if less than 95 % of the backbone's tensors fit; names what is missing.
    """

    def __init__(self, checkpoint: str | None, calibrate: bool = False) -> None:
        self.checkpoint, self.calibrate = checkpoint, calibrate

    def before_train(self, runner: Runner) -> None:
        """Loads the weights, and sets the batch norm statistics if asked to."""
        if runner.iter:
            return
        # under FSDP, a second model is filled, and each process takes its share
        model = MODELS.build(runner.cfg.model) if is_sharded(runner) else unwrap_model(runner)
        if self.checkpoint is not None:
            load_backbone_weights(model.backbone, self.checkpoint)
            runner.logger.info(f"backbone loaded from {self.checkpoint}")
        if self.calibrate:
            calibrate_batch_norm(model, runner.train_dataloader)
            runner.logger.info("batch norm statistics set from training images")
        if is_sharded(runner) and (self.checkpoint is not None or self.calibrate):
            weights = {f"backbone.{name}": value for name, value in model.backbone.state_dict().items()}
            runner.model.load_state_dict(weights, strict=False)
