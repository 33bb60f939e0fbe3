"""Dense features of a frozen backbone, and their colours in pictures."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize


def dense_tokens(feats: tuple[Tensor, ...]) -> tuple[Tensor, tuple[int, int]]:
    """Resizes the stages of a backbone to the finest grid, with unit norm per stage and cell.

    Args:
        feats: Feature maps, (B, C_i, h_i, w_i) each.

    Returns:
        Tokens, (B, h w, sum of C_i), and their grid (h, w).
    """
    grid = max((tuple(f.shape[-2:]) for f in feats), key=lambda size: size[0] * size[1])
    maps = [f if tuple(f.shape[-2:]) == grid else interpolate(f, grid, mode="bilinear") for f in feats]
    return torch.cat([normalize(m.float(), dim=1) for m in maps], 1).flatten(2).transpose(1, 2), grid


@torch.no_grad()
def backbone_tokens(backbone: nn.Module, preprocessor: nn.Module, images: np.ndarray) -> tuple[Tensor, tuple[int, int]]:
    """Computes the dense tokens of images.

    Args:
        backbone: Backbone that returns one or several stages; it is set to evaluation mode.
        preprocessor: A :class:`otcxr_mm.CXRDataPreprocessor`.
        images: Images on the scale 0 to 255, uint8 or float32 (n, H, W).

    Returns:
        Tokens on the CPU, (n, h w, C), and their grid (h, w).
    """
    backbone.eval()
    tokens, grid = [], (0, 0)
    for inputs in torch.from_numpy(np.ascontiguousarray(images))[:, None].split(64):
        some, grid = dense_tokens(backbone(preprocessor({"inputs": inputs})["inputs"]))
        tokens.append(some.cpu())
    return torch.cat(tokens), grid


def pca_rgb(tokens: Tensor, grid: tuple[int, int]) -> np.ndarray:
    """Maps the first three principal components of all tokens of all images to red, green and blue.

    Args:
        tokens: Tokens, (n, h w, C).
        grid: Rows and columns (h, w) of the tokens.

    Returns:
        Colours, (n, h, w, 3); 0 and 1 are the 2nd and the 98th percentile of a component.
    """
    flat = tokens.flatten(0, 1)
    flat = flat - flat.mean(0)
    scores = flat @ torch.linalg.svd(flat, full_matrices=False)[2][:3].T
    low, high = scores.quantile(0.02, 0), scores.quantile(0.98, 0)
    return ((scores - low) / (high - low)).clamp(0, 1).view(len(tokens), *grid, 3).numpy()
