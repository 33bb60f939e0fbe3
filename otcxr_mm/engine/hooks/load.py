"""Pre-trained weights, or an error."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...export import load_backbone
from ...registry import HOOKS
from ..model import bare_model
from ..norms import calibrate_batch_norm
from ..preprocessing import differences, preprocessing_of
from ..trained import trained_config


@HOOKS.register_module()
class LoadBackboneHook(Hook):
    """Fills the model's backbone before training, see :func:`otcxr_mm.load_backbone`; not when a run is resumed.

    With MMEngine's ``init_cfg=dict(type='Pretrained')`` training starts from scratch, with a line in the log,
    if no name fits; here that is an error. It works in MMPretrain and MMSegmentation alike.

    The JSON that pre-training leaves beside the weights says how images were normalised. A run that normalises them
    otherwise is refused, since features of such images are worth much less. Another image size is a warning.

    Args:
        checkpoint: Local file; None: the backbone stays as it was initialised, to compare with.
        min_matched: Share of the backbone's tensors that the file must hold.
        calibrate: Whether the statistics of batch norm are then set to those of up to 1,024 training images: for an
            untrained backbone that stays frozen, whose own are those of no data.
        check_preprocessing: Whether other preprocessing than in pre-training ends the run.

    Raises:
        FileNotFoundError: Before training, if there is no such file.
        ValueError: Before training, if less than `min_matched` of the backbone fits, or images are normalised otherwise
            than in pre-training; names what is missing or differs.
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
        """Loads the weights.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If too little of the backbone is in it, or preprocessing differs.
        """
        if runner.iter:
            return
        if self.checkpoint is not None:
            try:
                load_backbone(bare_model(runner).backbone, self.checkpoint, self.min_matched)
            except FileNotFoundError as error:
                raise FileNotFoundError(
                    f"{error}: pre-train first, or name another file, in the config or with --cfg-options "
                    "default_hooks.load_backbone.checkpoint=FILE (None: an untrained backbone)"
                ) from None
            runner.logger.info(f"backbone filled from {self.checkpoint}")
            if self.check_preprocessing:
                self._compare(runner, _record(Path(self.checkpoint).expanduser()))
        if self.calibrate:
            calibrate_batch_norm(bare_model(runner), runner.train_dataloader)
            runner.logger.info("batch norm has the statistics of training images")

    def _compare(self, runner: Runner, before: Mapping) -> None:
        now = preprocessing_of(runner.cfg)
        changed = differences(before, now)
        if changed:
            texts = [", ".join(f"{key}={settings[key]}" for key in changed) for settings in (before, now)]
            raise ValueError(
                f"{self.checkpoint} was pre-trained with {texts[0]}, and this run uses {texts[1]}: set "
                "model.data_preprocessor (mean, std) or LoadCXR (max_value) to what the pre-training used, or "
                "default_hooks.load_backbone.check_preprocessing=False to differ on purpose"
            )
        if None not in (before.get("size"), now["size"]) and before["size"] != now["size"]:
            runner.logger.warning(
                f"{self.checkpoint} was pre-trained on images of {before['size']} pixels; this run uses {now['size']}"
            )


def _record(weights: Path) -> dict:
    """The preprocessing of a pre-training: from the JSON beside its weights, or from the config in its checkpoint."""
    try:
        record = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        checkpoint = torch.load(weights, map_location="cpu", weights_only=True)
        record = preprocessing_of(trained_config(checkpoint) or {})
    return record if isinstance(record, dict) else {}
