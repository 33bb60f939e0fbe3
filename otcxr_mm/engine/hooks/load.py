"""Pre-trained weights, or an error."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...export import load_backbone
from ...registry import HOOKS
from ..model import bare_model


@HOOKS.register_module()
class LoadBackboneHook(Hook):
    """Fills the model's backbone before training, see :func:`otcxr_mm.load_backbone`; not when a run is resumed.

    With MMEngine's ``init_cfg=dict(type='Pretrained')`` training starts from scratch, with a line in the log,
    if no name fits; here that is an error. It works in MMPretrain and MMSegmentation alike.

    Args:
        checkpoint: Local file.
        min_matched: Share of the backbone's tensors that the file must hold.
    """

    def __init__(self, checkpoint: str, min_matched: float = 0.95) -> None:
        self.checkpoint, self.min_matched = checkpoint, min_matched

    def before_train(self, runner: Runner) -> None:
        """Loads the weights."""
        if runner.iter:
            return
        load_backbone(bare_model(runner).backbone, self.checkpoint, self.min_matched)
        runner.logger.info(f"backbone filled from {self.checkpoint}")
