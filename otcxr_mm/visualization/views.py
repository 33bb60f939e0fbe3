"""Pairs of views as a pipeline makes them, with what is known of their geometry."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..datasets import BaseCXRDataset, PhotometricCXR, TwoViewCrop
from ..datasets.inspection import leaves
from ..datasets.seeding import kept_generators
from ..datasets.synthetic.radiograph import generate
from ..ops.geometry import cell_centres, to_image, to_view
from ..utils.escape import plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# orange and blue can be told apart by the colour-blind, and from grey
COLOURS = ("#ff9f1c", "#3ec1f3")


@dataclass(frozen=True)
class ViewPair:
    """Two views of a radiograph.

    Attributes:
        image: The radiograph that the views were cropped from, (H, W).
        views: The two views, (h, w) each, on the scale 0 to 255.
        view_to_image: (2, 2, 3), see `otcxr_mm.ops`.
        caption: What is known of the radiograph.
    """

    image: np.ndarray
    views: tuple[np.ndarray, np.ndarray]
    view_to_image: np.ndarray
    caption: str


def view_pairs(dataset: object, count: int, seed: int = 0, show_ids: bool = False) -> list[ViewPair]:
    """Runs the pipeline on some images, in the order of the data set.

    Args:
        dataset: A :class:`otcxr_mm.BaseCXRDataset`, or a wrapper around some.
        count: Number of images, drawn from all; fewer if there are fewer.
        seed: Seed of the choice of images, and of the pipeline's draws.
        show_ids: Whether captions name patient and path.

    Raises:
        ValueError: If the pipeline makes no pair of views with known geometry.
    """
    parts = list(leaves(dataset))
    rows = [(part, i) for part in parts for i in range(len(part))]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:count])
    for stream, part in enumerate(parts):
        part.set_epoch(seed, 0, stream)
    return [_pair(*rows[row], show_ids) for row in chosen.tolist()]


def _pair(dataset: BaseCXRDataset, idx: int, show_ids: bool) -> ViewPair:
    image = matrices = None
    with dataset.clock.at(idx):
        info = dataset.get_data_info(idx)
        known = f"patient {info['patient_id'] or 'unknown'}, {info['image']}" if show_ids else f"image {idx}"
        caption = ", ".join(filter(None, (known, info["view_position"])))
        for transform in dataset.pipeline.transforms:
            before = info.get("img")
            info = transform(info)
            if matrices is None and "view_to_image" in info:
                image, matrices = before, np.array(info["view_to_image"])
    if matrices is None or len(matrices) != 2:
        raise ValueError(
            f"{type(dataset).__name__}: the pipeline gives no `view_to_image` of two views, as otcxr_mm.TwoViewCrop "
            "does; there is nothing to compare"
        )
    return ViewPair(image, tuple(np.asarray(view[0], np.float32) for view in info["inputs"]), matrices, caption)


def cropped_pairs(
    images: np.ndarray, seed: int, scale: tuple[float, float] = (0.25, 1.0), min_overlap: float = 0.3
) -> tuple[tuple[np.ndarray, np.ndarray], torch.Tensor]:
    """Two random views of each image, for a look at plans and correspondence; the same ones for the same seed.

    Args:
        images: (n, H, W), uint8, or float32 on the scale 0 to 255.
        seed: Of the draws; the global generators are not touched.
        scale: See :class:`otcxr_mm.TwoViewCrop`.
        min_overlap: See :class:`otcxr_mm.TwoViewCrop`.

    Returns:
        Both views, (n, H, H) each, and `view_to_image`, (n, 2, 2, 3).
    """
    crop, photo = TwoViewCrop(images.shape[1], scale, min_overlap=min_overlap, flip=0.5), PhotometricCXR()
    with kept_generators():
        np.random.seed(seed)
        pairs = [photo.transform(crop.transform({"img": img})) for img in images]
    views = tuple(np.stack([pair["img"][view] for pair in pairs]) for view in (0, 1))
    return views, torch.from_numpy(np.stack([pair["view_to_image"] for pair in pairs])).float()


def drawings(count: int, size: int) -> np.ndarray:
    """Procedural radiographs of made-up patients, uint8 (count, size, size); always the same ones."""
    return np.stack([generate(0, patient, 0, size)[0] for patient in range(count)])


@plain_text
def contact_sheet(pairs: Sequence[ViewPair]) -> "Figure":
    """Draws radiographs with the outlines of both crops, and the views, in which equal numbers mark equal places."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.1 * len(pairs) + 0.5), layout="constrained")
    figure.suptitle("Dot: upper left corner of the view. Equal numbers: the same place", fontsize=10)
    for axes, pair in zip(figure.subplots(len(pairs), 3, squeeze=False), pairs, strict=True):
        _draw(axes, pair)
    return figure


def _draw(axes: "Sequence[Axes]", pair: ViewPair) -> None:
    matrices = torch.from_numpy(pair.view_to_image).double()
    corners = to_image(matrices, matrices.new_tensor([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])).numpy()
    points = cell_centres(4, 4, matrices)
    others, seen = to_view(matrices[1:], to_image(matrices[:1], points))
    for axis, img in zip(axes, (pair.image, *pair.views), strict=True):
        axis.imshow(img, cmap="gray", vmin=0, vmax=255)
        axis.set(xticks=[], yticks=[], autoscale_on=False)
    axes[0].set_xlabel(pair.caption)
    for k, (axis, places) in enumerate(zip(axes[1:], (points, others[0]), strict=True)):
        x, y = (corners[k] * pair.image.shape[1::-1] - 0.5).T
        axes[0].plot(x, y, x[0], y[0], "o", color=COLOURS[k], linewidth=2, markersize=7)
        axis.set_xlabel(f"view {k + 1}" + (" (flipped)" if torch.det(matrices[k, :, :2]) < 0 else ""))
        axis.spines[:].set(color=COLOURS[k], linewidth=3)
        for i in torch.nonzero(seen[0])[:, 0].tolist():
            place = places[i].numpy() * pair.views[k].shape[::-1] - 0.5
            axis.text(*place, str(i + 1), color="#ff4040", fontweight="bold", ha="center", va="center")
