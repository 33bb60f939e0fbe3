"""Normalisation of radiographs on the device."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from ..registry import MODELS


@MODELS.register_module()
class CXRDataPreprocessor(BaseDataPreprocessor):
    """Normalises one or several views of one-channel radiographs.

    Images keep one channel from disk to device, where broadcasting makes the channels of the backbone.

    Args:
        mean: One number, or one per channel, on the scale 0 to 255 (16-bit images are scaled to it with their depth
            kept).
        std: As `mean`.
        channels: Channels of the backbone's input. With one `mean` and 3 channels, all three are equal.
        batch_augments: Must be None; MMPretrain's classifiers pass it.

    Raises:
        ValueError: If `mean`, `std` and `channels` do not fit each other, or `batch_augments` is not None.
    """

    def __init__(
        self,
        mean: Sequence[float] = (127.5,),
        std: Sequence[float] = (64.0,),
        channels: int = 1,
        batch_augments: dict | None = None,
    ) -> None:
        super().__init__(non_blocking=True)
        if batch_augments is not None:
            raise ValueError("CXRDataPreprocessor: batch_augments, such as mixup, need single-label images")
        if len(mean) != len(std) or len(mean) not in (1, channels) or min(std) <= 0:
            raise ValueError(
                f"mean and std take 1 value or one per channel ({channels}), std > 0; got mean={mean}, std={std}"
            )
        self.channels = channels
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    def _normalise(self, images: Tensor) -> Tensor:
        images = (self.cast_data(images).float() - self.mean) / self.std
        return images.expand(-1, self.channels, -1, -1)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalises `data['inputs']`.

        Args:
            data: `inputs`: a batch (B, 1, H, W) or a list of them, one per view, uint8 or float on the scale 0 to
                255; `data_samples`: whose labels and masks, if any, move to the device.
            training: Unused.

        Returns:
            The same keys; inputs are float32 (B, channels, H, W) on the device.
        """
        inputs = data["inputs"]
        single = isinstance(inputs, Tensor)
        inputs = self._normalise(inputs) if single else [self._normalise(view) for view in inputs]
        samples = data.get("data_samples")
        if samples and len(samples[0].keys()):  # those of pre-training hold no tensors
            samples = self.cast_data(samples)
        return {"inputs": inputs, "data_samples": samples}
