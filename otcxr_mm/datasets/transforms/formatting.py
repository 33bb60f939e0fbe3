"""From arrays to what the model takes."""

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.datasets import PackInputs
from mmpretrain.structures import DataSample

from ...registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackViews(BaseTransform):
    """Packs viewpoints into `inputs`, a list of (1, H, W) tensors, and `data_samples`.

    The tensors stay uint8 (float32 for 16-bit images) and one channel wide; the preprocessor does the rest.

    Args:
        meta_keys: Results kept in the sample's metainfo, where they are there. No path and no patient id by default.
    """

    def __init__(self, meta_keys: Sequence[str] = ("sample_idx", "view_to_image")) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Packs the results."""
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

    The metainfo gets `patient_id`, `view_position`, `age` and `sex` besides MMPretrain's.

    Args:
        meta_keys: Results kept in the sample's metainfo, where they are there.
        **kwargs: See MMPretrain's PackInputs.
    """

    def __init__(
        self,
        meta_keys: Sequence[str] = (*PackInputs.DEFAULT_META_KEYS, "patient_id", "view_position", "age", "sex"),
        **kwargs: object,
    ) -> None:
        super().__init__(meta_keys=tuple(meta_keys), **kwargs)
