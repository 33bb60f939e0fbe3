"""Segmentation by MMSegmentation's parts; it is imported when one of these is built, not before.

What the registry holds are functions that build the classes of :mod:`.mask_segmentor` and :mod:`.mask_heads`.
"""

from typing import TYPE_CHECKING

from ...mmseg import require_mmseg
from ...registry import MODELS

if TYPE_CHECKING:
    from torch import nn


@MODELS.register_module()
def MaskSegmentor(**kwargs: object) -> "nn.Module":
    """MMSegmentation's EncoderDecoder for maps that may overlap, see :class:`.mask_segmentor.MaskEncoderDecoder`.

    Raises:
        ImportError: If MMSegmentation is missing.
    """
    module = require_mmseg("otcxr_mm.MaskSegmentor", f"{__name__}.mask_segmentor")
    return module.MaskEncoderDecoder(**kwargs)


@MODELS.register_module()
def FCNMaskHead(**kwargs: object) -> "nn.Module":
    """MMSegmentation's FCNHead with one sigmoid map a class, see :class:`.mask_heads.MaskHead`.

    Raises:
        ImportError: If MMSegmentation is missing.
    """
    return require_mmseg("otcxr_mm.FCNMaskHead", f"{__name__}.mask_heads").FCN(**kwargs)


@MODELS.register_module()
def UPerMaskHead(**kwargs: object) -> "nn.Module":
    """MMSegmentation's UPerHead with one sigmoid map a class, see :class:`.mask_heads.MaskHead`.

    Raises:
        ImportError: If MMSegmentation is missing.
    """
    return require_mmseg("otcxr_mm.UPerMaskHead", f"{__name__}.mask_heads").UPer(**kwargs)


__all__ = ["FCNMaskHead", "MaskSegmentor", "UPerMaskHead"]
