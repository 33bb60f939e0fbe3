"""Segmentation with MMSegmentation, which is imported when a model is built, not before.

So the registry holds functions, which build a class of MMSegmentation with :class:`.mask_head.MaskHead` or
:class:`.mask_outputs.MaskOutputs` mixed in.
"""

from functools import cache

from torch import nn

from ...registry import MODELS
from ...utils.mmseg import require_mmseg
from .mask_head import MaskHead
from .mask_outputs import MaskOutputs


@cache
def _class(name: str, mixin: type, module: str, base: str) -> type:
    """The class `base` of a module of `mmseg.models`, with `mixin` before it."""
    found = getattr(require_mmseg(f"otcxr_mm.{name}", f"mmseg.models.{module}"), base)
    return type(name, (mixin, found), {"__module__": __name__, "__doc__": mixin.__doc__})


@MODELS.register_module()
def MaskSegmentor(**kwargs: object) -> nn.Module:
    """MMSegmentation's EncoderDecoder for masks that may overlap: one sigmoid map per class.

    Raises:
        ImportError: If MMSegmentation is missing.
    """
    return _class("MaskSegmentor", MaskOutputs, "segmentors.encoder_decoder", "EncoderDecoder")(**kwargs)


@MODELS.register_module()
def FCNMaskHead(**kwargs: object) -> nn.Module:
    """MMSegmentation's FCNHead with one sigmoid map per class.

    Raises:
        ImportError: If MMSegmentation is missing.
    """
    return _class("FCNMaskHead", MaskHead, "decode_heads.fcn_head", "FCNHead")(**kwargs)


@MODELS.register_module()
def UPerMaskHead(**kwargs: object) -> nn.Module:
    """MMSegmentation's UPerHead with one sigmoid map per class.

    Raises:
        ImportError: If MMSegmentation is missing.
        ValueError: If a group norm has one channel per group: it would turn the pooled maps of 1 x 1 into zeros.
    """
    head = _class("UPerMaskHead", MaskHead, "decode_heads.uper_head", "UPerHead")(**kwargs)
    if any(norm.num_groups == norm.num_channels for norm in head.modules() if isinstance(norm, nn.GroupNorm)):
        raise ValueError(
            f"UPerMaskHead: channels={head.channels} must be a multiple of num_groups in norm_cfg, and larger: of one "
            "channel per group, a pooled value would be normalised to 0"
        )
    return head


__all__ = ["FCNMaskHead", "MaskSegmentor", "UPerMaskHead"]
