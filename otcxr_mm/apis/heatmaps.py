"""What a classifier's score rests on: Grad-CAM (Selvaraju et al., ICCV 2017) on the maps that its backbone returns."""

from collections.abc import Sequence

import torch
from mmpretrain.models import ImageClassifier
from torch import Tensor


def grad_cam(model: ImageClassifier, images: Tensor, classes: Sequence[int]) -> Tensor:
    """Maps that show where the features lie that raise the score of a class.

    For a head that averages the maps and applies a linear layer, they are the contributions of the cells to the logit,
    up to a factor, with negative ones set to 0 (Zhou et al., CVPR 2016).

    Args:
        model: In evaluation mode; its backbone returns maps.
        images: As the model takes them, normalised, (B, C, H, W).
        classes: K indices of classes.

    Returns:
        (B, K, h, w), at least 0, at the resolution of the last stage.

    Raises:
        ValueError: If the backbone returns vectors or tokens.
    """
    with torch.no_grad():
        *before, last = model.backbone(images)
    if last.dim() != 4:
        raise ValueError(f"heat maps need maps, but the backbone returns {tuple(last.shape)}: set out_type='featmap'")
    with torch.enable_grad():
        last = last.detach().requires_grad_()
        feats = (*before, last)
        scores = model.head(model.neck(feats) if model.with_neck else feats)
        found = []
        for index in classes:
            (gradient,) = torch.autograd.grad(scores[:, index].sum(), last, retain_graph=True)
            weights = gradient.mean((2, 3), keepdim=True)
            found.append((weights * last.detach()).sum(1).relu())
    return torch.stack(found, 1)
