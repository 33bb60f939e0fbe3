"""OTCXR (Gorade, Singh, Mishra, WACV 2025, first published as OPTiML): pre-training by dense optimal transport."""

import numpy as np
import torch
from mmpretrain.models import BaseSelfSupervisor, CosineEMA
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from torch import Tensor, nn

from ...registry import MODELS
from ..heads.ot_head import Geometry


@MODELS.register_module()
class OTCXR(BaseSelfSupervisor):
    """Aligns the tokens of two viewpoints of a radiograph.

    Args:
        backbone: Config of an MMPretrain backbone that puts out feature maps, in_channels that of the preprocessor.
        neck: Config of :class:`otcxr_mm.CVSIM`.
        head: Config of :class:`otcxr_mm.OTHead`.
        ema: Momentum of a target network, as MMPretrain counts it (target = (1 - momentum) target + momentum online,
            annealed to 0 by a cosine over as many updates as training has iterations), in (0, 1). With it,
            `custom_hooks` must hold :class:`otcxr_mm.EMATargetHook`, and both viewpoints are source once. None: the
            target viewpoint goes through the same network.
        data_preprocessor: Config; default :class:`otcxr_mm.CXRDataPreprocessor`.
        pretrained: Checkpoint to start from.
        init_cfg: MMEngine's initialisation.

    Raises:
        ValueError: If the backbone lacks the stages that the neck reads, takes other channels than the preprocessor
            gives, or `ema` lies outside (0, 1).
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        ema: float | None = None,
        data_preprocessor: dict | None = None,
        pretrained: str | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        data_preprocessor = data_preprocessor or {"type": "otcxr_mm.CXRDataPreprocessor"}
        super().__init__(build_backbone(backbone), neck, head, None, pretrained, data_preprocessor, init_cfg=init_cfg)
        stages = getattr(self.backbone, "out_indices", None)
        if isinstance(stages, (list, tuple)) and len(stages) != len(self.neck.in_channels):
            raise ValueError(
                f"the backbone puts out {len(stages)} stages (out_indices={tuple(stages)}), the neck's "
                f"in_channels={self.neck.in_channels} expects {len(self.neck.in_channels)}"
            )
        token = getattr(self.neck, "global_token", "mean")
        if self.head.global_token is None:
            self.head.global_token = token
        if self.head.global_token != token:
            raise ValueError(
                f"neck.global_token={token!r}, but head.global_token={self.head.global_token!r}: leave it out of the "
                "head"
            )
        self._check_channels()
        self.target = None
        self.target_synced = False
        if ema is not None:
            if not 0 < ema < 1:
                raise ValueError(f"ema is a momentum in (0, 1), or None, got {ema}")
            self.target = CosineEMA(nn.ModuleList([self.backbone, self.neck]), momentum=ema)

    def _check_channels(self) -> None:
        stem = next((m for m in self.backbone.modules() if isinstance(m, nn.Conv2d)), None)
        channels = getattr(self.data_preprocessor, "channels", None)
        if stem is not None and channels is not None and stem.in_channels != channels:
            raise ValueError(
                f"the backbone takes {stem.in_channels} channels, the preprocessor gives {channels}: set "
                f"model.data_preprocessor.channels={stem.in_channels}, or in_channels={channels} of the backbone"
            )

    @torch.no_grad()
    def sync_target(self) -> None:
        """Copies the online network into the target; EMATargetHook does so before a new run."""
        for target, online in zip(self.target.module.parameters(), self.online.parameters(), strict=True):
            target.copy_(online)
        for target, online in zip(self.target.module.buffers(), self.online.buffers(), strict=True):
            target.copy_(online)
        self.target_synced = True

    @property
    def online(self) -> nn.ModuleList:
        """Backbone and neck, which the target averages."""
        return nn.ModuleList([self.backbone, self.neck])

    def loss(self, inputs: list[Tensor], data_samples: list) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            inputs: Two viewpoints, each (B, C, H, W).
            data_samples: B samples; `view_to_image` (2, 2, 3) in their metainfo where the head needs geometry.

        Returns:
            See :meth:`otcxr_mm.OTHead.loss`.

        Raises:
            ValueError: For another number of viewpoints, or without the geometry that the head needs.
            RuntimeError: If there is a target network that no :class:`otcxr_mm.EMATargetHook` updates.
        """
        if len(inputs) != 2:
            raise ValueError(f"OTCXR takes two viewpoints, got {len(inputs)}")
        feats = [self.backbone(view) for view in inputs]
        geometry = self._geometry(feats[0], data_samples, inputs[0].device) if self.head.needs_geometry else None
        source, target, *plain = self.neck(*feats, plain=self.head.guard)
        fixed = () if self.target is None else self._target_tokens(inputs)
        return self.head.loss(source, target, geometry, plain, fixed)

    @torch.no_grad()
    def _target_tokens(self, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        if not self.target_synced:
            raise RuntimeError(
                "OTCXR has a target network that nothing updates: add dict(type='otcxr_mm.EMATargetHook') to "
                "custom_hooks"
            )
        backbone, neck = self.target.module
        return neck(*[backbone(view) for view in inputs], plain=self.head.guard)

    def _geometry(self, feats: tuple, data_samples: list, device: torch.device) -> Geometry:
        missing = [s for s in data_samples or [None] if s is None or "view_to_image" not in s.metainfo_keys()]
        if missing:
            raise ValueError(
                "the data samples carry no view_to_image, which the head needs: end the pipeline with "
                "otcxr_mm.TwoViewCrop and otcxr_mm.PackViews"
            )
        matrices = np.stack([sample.view_to_image for sample in data_samples])
        return torch.from_numpy(matrices).to(device, torch.float32), self.neck.grid(feats)


def build_backbone(backbone: dict | nn.Module) -> nn.Module:
    """Builds an MMPretrain backbone; its bare assertions become an error that names it."""
    if isinstance(backbone, nn.Module):
        return backbone
    try:
        return MMPRETRAIN_MODELS.build(backbone)
    except (AssertionError, IndexError) as error:
        raise ValueError(
            f"backbone {backbone.get('type')!r} cannot be built with {dict(backbone)}: "
            f"{str(error) or 'an argument is out of range'}. Does it have the stages that out_indices names?"
        ) from error
