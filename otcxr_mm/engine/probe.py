"""What a backbone's features are worth: labels, masks and correspondence from frozen features of a few images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from ..datasets.inspection import leaves
from ..datasets.seeding import kept_generators
from ..evaluation.statistics.auc import per_class
from ..evaluation.statistics.mask_probe import mask_probe
from ..models.heads import KNNHead
from ..models.losses import MaskedBCELoss
from ..ops import correspondence
from ..visualization.features import backbone_tokens
from ..visualization.views import cropped_pairs
from .loops.fits import fit_linear, fit_neighbours
from .model import pooled

BATCH = 16  # on a CPU, the maps of more images do not fit the caches
CELL = 8  # pixels of a mask in each row and column of a token
KEYS = {"labels": "gt_score", "masks": "gt_masks"}  # of what the pipeline packs
FIT_ITERS = 200  # where the weakest decays need more, they are not the best


@dataclass(frozen=True)
class ProbeImages:
    """Images of a data set as the network takes them, with what is known of them.

    Attributes:
        inputs: uint8 or float32, (n, 1, H, W).
        labels: (n, C), NaN for unknown; None for images with masks.
        masks: uint8 (n, K, H, W), from 0 outside to 255 inside; None for images with labels.
        names: Of the classes or masks.
    """

    inputs: Tensor
    labels: Tensor | None
    masks: np.ndarray | None
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.inputs)

    def copies_of(self, other: "ProbeImages") -> int:
        """Number of images whose pixels are those of one of `other`."""
        known = {image.numpy().tobytes() for image in other.inputs}
        return sum(image.numpy().tobytes() in known for image in self.inputs)


def read_images(dataset: Sequence[Mapping], kind: str) -> ProbeImages:
    """Runs the pipeline on all images of a data set.

    Args:
        dataset: Its pipeline ends with PackCXR or PackMasks, and gives all images one size.
        kind: ``'labels'`` or ``'masks'``, which the images must have.

    Raises:
        ValueError: If they do not have them, or differ in size.
    """
    with kept_generators():
        items = [dataset[i] for i in range(len(dataset))]
    samples, name = [item["data_samples"] for item in items], type(dataset).__name__
    if KEYS[kind] not in samples[0]:
        raise ValueError(
            f"OnlineProbeHook: {name} gives no {kind} ({KEYS[kind]}): end its pipeline with otcxr_mm.PackCXR for "
            "labels; with otcxr_mm.PackMasks, or dict(type='otcxr_mm.PackCXR', meta_keys=('gt_masks',)), for masks"
        )
    sizes = sorted({tuple(item["inputs"].shape) for item in items})
    if len(sizes) > 1:
        raise ValueError(f"OnlineProbeHook: {name} gives images of the sizes {sizes}: add Resize to its pipeline")
    inputs = torch.stack([item["inputs"] for item in items])
    if kind == "labels":
        labels = torch.stack([sample.gt_score.float() for sample in samples])
        return ProbeImages(inputs, labels, None, tuple(dataset.metainfo["classes"]))
    masks = np.stack([_resized(_array(sample.gt_masks) * 255, sizes[0][1:]) for sample in samples])
    return ProbeImages(inputs, None, masks, tuple(next(leaves(dataset)).mask_classes))


def _array(masks: np.ndarray | BaseDataElement) -> np.ndarray:
    return masks.data.numpy() if isinstance(masks, BaseDataElement) else masks


def _resized(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Masks (K, h, w) at another size (H, W), averaged over pixels."""
    return np.stack([cv2.resize(mask, size[::-1], interpolation=cv2.INTER_AREA) for mask in masks])


def pooled_features(backbone: nn.Module, preprocessor: nn.Module, inputs: Tensor) -> Tensor:
    """Features averaged over space, (n, D), on the device."""
    parts = inputs.split(BATCH)
    return torch.cat([pooled(backbone(preprocessor({"inputs": part})["inputs"])) for part in parts])


def probe_labels(
    backbone: nn.Module,
    preprocessor: nn.Module,
    train: ProbeImages,
    val: ProbeImages,
    decays: Sequence[float],
    ks: Sequence[int],
) -> dict[str, float]:
    """AUROC on validation images of linear classifiers and nearest neighbours, as :class:`.LinearEvalLoop` fits them.

    Returns:
        Macro and per-class AUROC by name; without classes that lack positives or negatives.
    """
    x, x_val = (pooled_features(backbone, preprocessor, images.inputs) for images in (train, val))
    y, y_val = (images.labels.to(x.device) for images in (train, val))
    weight, bias = fit_linear((x, y), (x_val, y_val), MaskedBCELoss(), decays, FIT_ITERS, "silent")
    head = KNNHead(y.shape[1], x.shape[1]).to(x.device)
    fit_neighbours(head, (x, y), (x_val, y_val), ks, "silent")
    scores = {"linear": x_val.to(weight) @ weight.T + bias, "knn": head((x_val,))}
    found = {}
    for kind, score in scores.items():
        auroc = per_class(val.labels.double().numpy(), score.double().cpu().numpy())[0]
        found[f"probe/{kind}_auroc"] = float(np.nanmean(auroc))
        known = zip(val.names, auroc.tolist(), strict=True)
        found |= {f"probe/{kind}_auroc/{name}": value for name, value in known if np.isfinite(value)}
    return found


def probe_masks(backbone: nn.Module, preprocessor: nn.Module, train: ProbeImages, val: ProbeImages) -> dict[str, float]:
    """Mean Dice on validation images of masks read linearly from dense features, and of the mean training mask."""
    tokens = []
    for images in (train, val):
        found, grid = backbone_tokens(backbone, preprocessor, images.inputs[:, 0].numpy())
        tokens.append(found.numpy())
    size = tuple(CELL * side for side in grid)
    masks = [np.stack([_resized(mask, size) > 127 for mask in images.masks]) for images in (train, val)]

    def dices() -> Iterator[tuple[str, float]]:
        for k, name in enumerate(val.names):
            probe = mask_probe([*tokens, tokens[1]], [m[:, k] for m in (*masks, masks[1])], grid)
            yield f"probe/dice_{name}", float(np.nanmean(probe.dice))
            yield f"probe/dice_{name}_blind", float(np.nanmean(probe.blind))

    return dict(dices())


def probe_views(backbone: nn.Module, preprocessor: nn.Module, images: Tensor, seed: int = 1) -> dict[str, float]:
    """Correspondence between two random views of each image, (n, 1, H, W), as :func:`otcxr_mm.ops.correspondence`."""
    pairs, matrices = cropped_pairs(images[:, 0].numpy(), seed)
    (source, grid), (target, _) = (backbone_tokens(backbone, preprocessor, views) for views in pairs)
    counts = correspondence(source, target, matrices[:, 0], matrices[:, 1], grid)
    total = counts.tokens.sum()
    found = {"": counts.correct, "_index": counts.index, "_chance": counts.chance}
    return {f"probe/correspondence{name}": (count.sum() / total).item() for name, count in found.items()}
