"""Segmentation by MMSegmentation's parts; it is imported when one of these is built, not before.

What the registry holds are functions that build a class of MMSegmentation with :class:`.mask_head.MaskHead` or
:class:`.mask_outputs.MaskOutputs` mixed in.
"""

from functools import cache
from typing import TYPE_CHECKING

from ...registry import MODELS
from ...utils.mmseg import require_mmseg
from .mask_head import MaskHead
from .mask_outputs import MaskOutputs

if TYPE_CHECKING:
    from torch import nn


@cache
def _class(name: str, mixin: type, module: str, base: str) -> type:
    """The class `base` of a module of MMSegmentation's models with `mixin` in front."""
    found = getattr(require_mmseg(f"otcxr_mm.{name}", f"mmseg.models.{module}"), base)
    return type(name, (mixin, found), {"__module__": __name__, "__doc__": mixin.__doc__})


@MODELS.register_module()
def MaskSegmentor(**kwargs: object) -> "nn.Module":
    """MMSegmentation's EncoderDecoder for masks that may overlap: one sigmoid map a class.

    Raises:
        ImportError: If MMSegmentation is missing.
    """
    return _class("MaskSegmentor", MaskOutputs, "segmentors.encoder_decoder", "EncoderDecoder")(**kwargs)


@MODELS.register_module()
def FCNMaskHead(**kwargs: object) -> "nn.Module":
    """MMSegmentation's FCNHead with one sigmoid map a class.

    Raises:
        ImportError: If MMSegmentation is missing.
    """
    return _class("FCNMaskHead", MaskHead, "decode_heads.fcn_head", "FCNHead")(**kwargs)


@MODELS.register_module()
def UPerMaskHead(**kwargs: object) -> "nn.Module":
    """MMSegmentation's UPerHead with one sigmoid map a class.

    Raises:
        ImportError: If MMSegmentation is missing.
    """
    return _class("UPerMaskHead", MaskHead, "decode_heads.uper_head", "UPerHead")(**kwargs)


__all__ = ["FCNMaskHead", "MaskSegmentor", "UPerMaskHead"]
