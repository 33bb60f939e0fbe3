"""From arrays to what the model takes."""

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData
from mmpretrain.datasets import PackInputs
from mmpretrain.structures import DataSample

from ...registry import TRANSFORMS
from ...utils.mmseg import require_mmseg

# which image it is and who is on it, for metrics
PEOPLE = ("image", "patient_id", "study_id", "collection", "view_position", "age", "sex")


@TRANSFORMS.register_module()
class PackViews(BaseTransform):
    """Packs views into `inputs`, a list of (1, H, W) tensors, and `data_samples`.

    The tensors stay uint8 (float32 for 16-bit images) and one channel wide.

    Args:
        meta_keys: Results to keep in the sample's metainfo; by default no path and no patient id.
    """

    def __init__(self, meta_keys: Sequence[str] = ("sample_idx", "view_to_image", "paired")) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Packs `img`, one (H, W) or a list with one per view."""
        views = results["img"] if isinstance(results["img"], list) else [results["img"]]
        sample = DataSample()
        for key in self.meta_keys:
            if key in results:
                # set_metainfo would copy deeply, which takes longer than all the rest
                sample.set_field(results[key], key, field_type="metainfo")
        inputs = [torch.from_numpy(np.ascontiguousarray(view))[None] for view in views]
        return {"inputs": inputs, "data_samples": sample}


@TRANSFORMS.register_module()
class PackCXR(PackInputs):
    """MMPretrain's PackInputs, which also keeps who is on the image, so that metrics know patients and subgroups.

    Besides MMPretrain's keys, the metainfo gets `image` (its path below the data root), `patient_id`, `study_id`,
    `collection`, `view_position`, `age` and `sex`.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**{"meta_keys": (*PackInputs.DEFAULT_META_KEYS, *PEOPLE), **kwargs})


@TRANSFORMS.register_module()
class PackMasks(BaseTransform):
    """Packs an image and its masks for MMSegmentation: `inputs` (1, H, W), and a SegDataSample as `data_samples`.

    The tensor stays uint8 (float32 for 16-bit images) and one channel wide. The sample holds `gt_masks`, uint8
    (K, H', W'), at their own size: in tests that of the original, whatever the network's.

    Raises:
        ImportError: If MMSegmentation is missing.
    """

    META_KEYS = (
        *("sample_idx", *PEOPLE, "pixel_spacing", "mask_classes"),
        *("ori_shape", "img_shape", "pad_shape", "scale_factor", "flip", "flip_direction"),
    )

    def __init__(self) -> None:
        self.sample_type = require_mmseg("otcxr_mm.PackMasks", "mmseg.structures").SegDataSample

    def transform(self, results: dict) -> dict:
        """Packs `img` (H, W) and `gt_masks` (K, H', W')."""
        img = results["img"]
        known = {"pad_shape": img.shape[:2], "flip": False, "flip_direction": None, **results}
        sample = self.sample_type()
        for key in self.META_KEYS:
            if key in known:
                sample.set_field(known[key], key, field_type="metainfo")
        sample.gt_masks = PixelData(data=torch.from_numpy(np.ascontiguousarray(results["gt_masks"])))
        return {"inputs": torch.from_numpy(np.ascontiguousarray(img))[None], "data_samples": sample}
