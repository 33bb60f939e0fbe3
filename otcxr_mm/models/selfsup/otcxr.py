"""OTCXR (Gorade, Singh, Mishra, WACV 2025; first published as OPTiML)."""

import numpy as np
import torch
from mmpretrain.models import BaseSelfSupervisor, CosineEMA
from torch import Tensor, nn

from ...registry import MODELS
from ..tokens import Tokens


def channels_last(view: Tensor) -> Tensor:
    """A view (B, C, H, W) with the same values and the channels last in memory."""
    _, c, h, w = view.shape
    view = view.contiguous(memory_format=torch.channels_last)
    # with one channel both formats have the same bytes, and torch tells them apart by the strides alone
    return view.as_strided(view.shape, (c * h * w, 1, c * w, c))


@MODELS.register_module()
class OTCXR(BaseSelfSupervisor):
    """Self-supervised pre-training on chest radiographs by dense alignment of two views with optimal transport.

    The encoder sees two augmented views of a radiograph, source and target. CV-SIM (the neck) infuses the semantics of
    each into the other's dense features, and the head aligns the results q_s and q_t by optimal transport, with
    variance and covariance regularisation. This is the paper. That both views share the encoder, that a target network
    may encode the fixed side, and the insides of neck and head are our reading.

    Args:
        backbone: Config of an MMPretrain backbone that returns feature maps.
        neck: Config of :class:`otcxr_mm.CVSIM`.
        head: Config of :class:`otcxr_mm.OTHead`.
        ema: Momentum of a target network, in (0, 1), as MMPretrain defines it: target = (1 - momentum) target +
            momentum online, annealed to 0 by a cosine over the iterations of the training. It needs
            :class:`otcxr_mm.EMATargetHook` in `custom_hooks`; each view is the source once. None: no target network.
        channels_last: Whether the backbone gets views with the channels last in memory, in which convolutions on a CPU
            are faster. The results differ by rounding.
        data_preprocessor: Config; default: :class:`otcxr_mm.CXRDataPreprocessor`.
        pretrained: Checkpoint to start from.
        init_cfg: MMEngine's initialisation.

    Raises:
        ValueError: If backbone and preprocessor have other channels, the head leaves the neck's global token without a
            loss, or `ema` is outside (0, 1).
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        ema: float | None = None,
        channels_last: bool = False,
        data_preprocessor: dict | None = None,
        pretrained: str | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        data_preprocessor = data_preprocessor or {"type": "otcxr_mm.CXRDataPreprocessor"}
        super().__init__(backbone, neck, head, None, pretrained, data_preprocessor, init_cfg=init_cfg)
        self._check_channels()
        if self.neck.global_token == "own" and not self.head.uses_global_token:
            raise ValueError(
                f"global_mass=0 and statistics={self.head.statistics!r} in the head leave the neck's global token "
                "without a loss: set model.neck.global_token='mean'"
            )
        if ema is not None and not 0 < ema < 1:
            raise ValueError(f"ema is a momentum in (0, 1), or None, got {ema}")
        self.target = None if ema is None else CosineEMA(self.online, momentum=ema)
        self.target_synced = False
        self.channels_last = channels_last

    @property
    def online(self) -> nn.ModuleList:
        """Backbone and neck, the part that the target network averages."""
        return nn.ModuleList([self.backbone, self.neck])

    @torch.no_grad()
    def sync_target(self) -> None:
        """Copies backbone and neck to the target network, as EMATargetHook does before a new run."""
        self.target.module.load_state_dict(self.online.state_dict())
        self.target_synced = True

    def loss(self, inputs: list[Tensor], data_samples: list) -> dict[str, Tensor]:
        """Computes the losses of a batch.

        Args:
            inputs: Two views, (B, C, H, W) each.
            data_samples: B samples; their metainfo holds `view_to_image`, (2, 2, 3), if neck or head need it, and
                `paired`, whether the views are from two images.

        Returns:
            The losses and diagnostics of :meth:`otcxr_mm.OTHead.loss`.

        Raises:
            ValueError: If there are not two views, or the head needs a geometry that is missing.
            RuntimeError: If no :class:`otcxr_mm.EMATargetHook` updates the target network.
        """
        if len(inputs) != 2:
            raise ValueError(f"OTCXR takes two views, got {len(inputs)}")
        geometry = self.geometry(data_samples, inputs[0].device)
        paired = [bool(sample.get("paired", False)) for sample in data_samples]
        if self.channels_last:
            inputs = [channels_last(view) for view in inputs]
        feats = [self.backbone(view) for view in inputs]
        source, target = self.neck(*feats, plain=self.head.guard, view_to_image=geometry)
        fixed = None if self.target is None else self._target_tokens(inputs, geometry)
        return self.head.loss(source, target, geometry, fixed, paired)

    @torch.no_grad()
    def _target_tokens(self, inputs: list[Tensor], geometry: Tensor | None) -> tuple[Tokens, Tokens]:
        if not self.target_synced:
            raise RuntimeError(
                "nothing updates the target network of OTCXR: add dict(type='otcxr_mm.EMATargetHook') to custom_hooks"
            )
        backbone, neck = self.target.module
        return neck(*[backbone(view) for view in inputs], plain=self.head.guard, view_to_image=geometry)

    @staticmethod
    def geometry(data_samples: list, device: torch.device) -> Tensor | None:
        """`view_to_image` of both views, (B, 2, 2, 3), if the samples have it."""
        if not data_samples or any("view_to_image" not in sample for sample in data_samples):
            return None
        return torch.from_numpy(np.stack([s.view_to_image for s in data_samples])).to(device, torch.float32)

    def _check_channels(self) -> None:
        stem = next((m for m in self.backbone.modules() if isinstance(m, nn.Conv2d)), None)
        channels = getattr(self.data_preprocessor, "channels", None)
        if stem is not None and channels is not None and stem.in_channels != channels:
            raise ValueError(
                f"the backbone takes {stem.in_channels} channels, the preprocessor gives {channels}: set "
                f"model.data_preprocessor.channels={stem.in_channels}, or in_channels={channels} of the backbone"
            )
