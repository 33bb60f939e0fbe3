"""Loads pre-trained weights, or raises an error."""

import json
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...backbones import load_backbone
from ...backbones.preprocessing import compare, preprocessing_of
from ...registry import HOOKS
from ...utils.checkpoints import trained_config
from ..model import unwrap_model
from ..norms import calibrate_batch_norm


@HOOKS.register_module()
class LoadBackboneHook(Hook):
    """Loads the model's backbone before training (:func:`otcxr_mm.load_backbone`), unless the run is resumed.

    With MMEngine's ``init_cfg=dict(type='Pretrained')``, training starts from scratch if no name fits, with only a line
    in the log; here that is an error. The hook works in MMPretrain and MMSegmentation alike.

    The JSON beside the pre-trained weights records how images were normalised. A run that normalises them differently
    is refused, because the features would be much worse. Another image size is a warning.

    Args:
        checkpoint: Local file; None leaves the backbone as initialised, as a baseline.
        min_matched: Share of the backbone's tensors that the file must hold.
        calibrate: Whether to set the batch norm statistics to those of up to 1,024 training images afterwards. Use it
            for an untrained backbone that stays frozen, whose own statistics come from no data.
        check_preprocessing: Whether preprocessing that differs from pre-training ends the run.

    Raises:
        FileNotFoundError: Before training, if there is no such file.
        ValueError: Before training, if less than `min_matched` of the backbone fits, or if the normalisation differs
            from pre-training; names what is missing or differs.
    """

    def __init__(
        self,
        checkpoint: str | None,
        min_matched: float = 0.95,
        calibrate: bool = False,
        check_preprocessing: bool = True,
    ) -> None:
        self.checkpoint, self.min_matched, self.calibrate = checkpoint, min_matched, calibrate
        self.check_preprocessing = check_preprocessing

    def before_train(self, runner: Runner) -> None:
        """Loads the weights, and sets the batch norm statistics if asked to."""
        if runner.iter:
            return
        if self.checkpoint is not None:
            try:
                load_backbone(unwrap_model(runner).backbone, self.checkpoint, self.min_matched)
            except FileNotFoundError as error:
                raise FileNotFoundError(
                    f"{error}: pre-train first, or name another file, in the config or with --cfg-options "
                    "default_hooks.load_backbone.checkpoint=FILE (None for an untrained backbone)"
                ) from None
            runner.logger.info(f"backbone loaded from {self.checkpoint}")
            if self.check_preprocessing:
                self._check_preprocessing(runner)
        if self.calibrate:
            calibrate_batch_norm(unwrap_model(runner), runner.train_dataloader)
            runner.logger.info("batch norm statistics set from training images")

    def _check_preprocessing(self, runner: Runner) -> None:
        before, now = _record(Path(self.checkpoint).expanduser()), preprocessing_of(runner.cfg)
        switch = "default_hooks.load_backbone.check_preprocessing=False"
        refusal, warning = compare(self.checkpoint, before, now, switch)
        if refusal:
            raise ValueError(refusal)
        if warning:
            runner.logger.warning(warning)


def _record(weights: Path) -> dict:
    """The preprocessing used in pre-training, from the JSON beside the weights or the config in the checkpoint."""
    try:
        record = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        checkpoint = torch.load(weights, map_location="cpu", weights_only=True)
        record = preprocessing_of(trained_config(checkpoint) or {})
    return record if isinstance(record, dict) else {}
