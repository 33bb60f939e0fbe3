"""A backbone's weights without anything around them, and what is needed to use them."""

import io
import json
import os
from pathlib import Path

import mmengine
import mmpretrain
import torch
from mmengine.config import Config
from torch import nn

from ..fileio import write_whole
from ..version import __version__


def save_backbone(model: nn.Module, path: str | os.PathLike, cfg: Config | dict, **facts: object) -> None:
    """Writes the backbone's state dict, and a JSON beside it.

    The `.pth` holds tensors only, under the backbone's own names (no `backbone.` prefix): `weights_only=True` loads it,
    and MMPretrain, MMSegmentation and MMDetection take it as
    ``backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=...))``.

    Args:
        model: With `backbone` and `data_preprocessor`.
        path: Of the weights; the JSON has the same name with the suffix `.json`.
        cfg: The run's config; its model.backbone is recorded.
        **facts: More to record.
    """
    path = Path(path)
    buffer = io.BytesIO()
    torch.save({name: tensor.detach().cpu() for name, tensor in model.backbone.state_dict().items()}, buffer)
    preprocessor = model.data_preprocessor
    record = {
        "backbone": _plain(cfg["model"]["backbone"]),
        "channels": getattr(preprocessor, "channels", None),
        "mean": preprocessor.mean.flatten().tolist() if hasattr(preprocessor, "mean") else None,
        "std": preprocessor.std.flatten().tolist() if hasattr(preprocessor, "std") else None,
        "intensity_range": [0, 255],
        "versions": {
            "otcxr_mm": __version__,
            "mmpretrain": mmpretrain.__version__,
            "mmengine": mmengine.__version__,
            "torch": str(torch.__version__),
        },
        **facts,
    }
    write_whole(path, buffer.getvalue())
    write_whole(path.with_suffix(".json"), (json.dumps(record, indent=2) + "\n").encode())


def _plain(config: object) -> object:
    """A ConfigDict as plain containers."""
    return config.to_dict() if hasattr(config, "to_dict") else config
