"""Segmentation from frozen dense features: a linear map from each token to the mask in its cell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .masks import overlap

RIDGES = (1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3, 1e4)


@dataclass(frozen=True)
class MaskProbe:
    """Result of :func:`mask_probe` on the last set of images.

    Attributes:
        predicted: (n, H, W), bool.
        dice: (n,).
        blind: Dice of the mean training mask, which ignores the image, (n,).
        ridge: The strength with the best validation Dice.
    """

    predicted: np.ndarray
    dice: np.ndarray
    blind: np.ndarray
    ridge: float


def mask_probe(tokens: Sequence[np.ndarray], masks: Sequence[np.ndarray], grid: tuple[int, int]) -> MaskProbe:
    """Ridge regression from each token alone to the pixels of its cell, thresholded at 1/2.

    Args:
        tokens: Of training, validation and test images, (n, h w, C) each.
        masks: Their masks, (n, H, W), bool, H and W multiples of h and w.
        grid: (h, w).

    Returns:
        Predictions for the test images, with the ridge that has the best Dice on validation images.
    """
    h, w = grid
    height, width = masks[0].shape[1:]
    cell = (height // h, width // w)

    def cut(mask: np.ndarray) -> np.ndarray:
        return mask.reshape(len(mask), h, cell[0], w, cell[1]).swapaxes(2, 3).reshape(len(mask), h * w, -1)

    def join(cells: np.ndarray) -> np.ndarray:
        return cells.reshape(len(cells), h, w, *cell).swapaxes(2, 3).reshape(len(cells), height, width)

    train = tokens[0].reshape(-1, tokens[0].shape[2]).astype(np.float64)
    target = cut(masks[0]).reshape(len(train), -1).astype(np.float64)
    mean, std, offset = train.mean(0), train.std(0) + 1e-6, target.mean(0)
    train = (train - mean) / std
    gram, cross = train.T @ train, train.T @ (target - offset)

    def predict(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return join((x - mean) / std @ weights + offset) > 0.5

    fits = {ridge: np.linalg.solve(gram + ridge * np.eye(len(gram)), cross) for ridge in RIDGES}
    ridge = max(RIDGES, key=lambda r: overlap(predict(tokens[1], fits[r]), masks[1])[0].mean())
    predicted, blind = predict(tokens[2], fits[ridge]), np.broadcast_to(masks[0].mean(0) > 0.5, masks[2].shape)
    return MaskProbe(predicted, overlap(predicted, masks[2])[0], overlap(blind, masks[2])[0], ridge)
