"""Pre-trained weights, or an error."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...export import load_backbone
from ...registry import HOOKS
from ..model import bare_model
from ..norms import calibrate_batch_norm


@HOOKS.register_module()
class LoadBackboneHook(Hook):
    """Fills the model's backbone before training, see :func:`otcxr_mm.load_backbone`; not when a run is resumed.

    With MMEngine's ``init_cfg=dict(type='Pretrained')`` training starts from scratch, with a line in the log,
    if no name fits; here that is an error. It works in MMPretrain and MMSegmentation alike.

    Args:
        checkpoint: Local file; None: the backbone stays as it was initialised, to compare with.
        min_matched: Share of the backbone's tensors that the file must hold.
        calibrate: Whether the statistics of batch norm are then set to those of up to 1,024 training images: for an
            untrained backbone that stays frozen, whose own are those of no data.

    Raises:
        FileNotFoundError: Before training, if there is no such file.
        ValueError: Before training, if less than `min_matched` of the backbone fits; names what is missing.
    """

    def __init__(self, checkpoint: str | None, min_matched: float = 0.95, calibrate: bool = False) -> None:
        self.checkpoint, self.min_matched, self.calibrate = checkpoint, min_matched, calibrate

    def before_train(self, runner: Runner) -> None:
        """Loads the weights.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If too little of the backbone is in it.
        """
        if runner.iter:
            return
        if self.checkpoint is not None:
            try:
                load_backbone(bare_model(runner).backbone, self.checkpoint, self.min_matched)
            except FileNotFoundError as error:
                raise FileNotFoundError(
                    f"{error}: pre-train first, or name another file, in the config or with --cfg-options "
                    "custom_hooks.0.checkpoint=FILE (None: an untrained backbone)"
                ) from None
            runner.logger.info(f"backbone filled from {self.checkpoint}")
        if self.calibrate:
            calibrate_batch_norm(bare_model(runner), runner.train_dataloader)
            runner.logger.info("batch norm has the statistics of training images")
