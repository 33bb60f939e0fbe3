"""Pairs of views as a pipeline makes them, with what is known of their geometry."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..datasets import BaseCXRDataset
from ..datasets.inspection import leaves
from ..ops.geometry import cell_centres, to_image, to_view

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
    """Runs the pipeline on some images.

    Args:
        dataset: A :class:`otcxr_mm.BaseCXRDataset`, or a wrapper around some.
        count: Number of images, drawn from all; fewer if there are fewer.
        seed: Seed of the choice of images, and of the pipeline's draws.
        show_ids: Whether captions name patient and path.

    Returns:
        The pairs, in the order of the data set.

    Raises:
        ValueError: If the pipeline makes no pair of views with known geometry.
    """
    parts = [leaf for leaf in leaves(dataset) if isinstance(leaf, BaseCXRDataset)]
    if not parts:
        raise ValueError(f"{type(dataset).__name__} holds no data set of otcxr_mm")
    rows = [(k, i) for k, part in enumerate(parts) for i in range(len(part))]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:count])
    for stream, part in enumerate(parts):
        part.set_epoch(seed, 0, stream)
    pairs = []
    for k, i in (rows[row] for row in chosen.tolist()):
        name = f"set {k}, " if len(parts) > 1 else ""
        pairs.append(_pair(parts[k], i, name, show_ids))
    return pairs


def _pair(dataset: BaseCXRDataset, idx: int, name: str, show_ids: bool) -> ViewPair:
    image = matrices = None
    with dataset.clock.at(idx):
        info = dataset.get_data_info(idx)
        caption = name + _caption(dataset, info, show_ids)
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
    views = tuple(np.asarray(view[0], np.float32) for view in info["inputs"])
    return ViewPair(image, views, matrices, caption)


def _caption(dataset: BaseCXRDataset, info: dict, show_ids: bool) -> str:
    parts = [f"image {info['sample_idx']}", info["view_position"]]
    if "gt_score" in info:
        names = np.asarray(dataset.metainfo["classes"])
        unknown = int(np.isnan(info["gt_score"]).sum())
        parts += [", ".join(names[info["gt_score"] == 1]) or "no finding", f"{unknown} unknown" if unknown else ""]
    text = ", ".join(filter(None, parts))
    return f"{text}\npatient {info['patient_id'] or 'unknown'}, {info['image']}" if show_ids else text


def contact_sheet(pairs: Sequence[ViewPair], grid: int = 4) -> "Figure":
    """Radiographs with the outlines of both crops, and beside them the views, in which equal numbers mark equal places.

    Args:
        pairs: At least one; two per row.
        grid: Number of points per side of the first view.

    Returns:
        A matplotlib figure, for `savefig`.
    """
    from matplotlib.figure import Figure

    columns = min(2, len(pairs))
    rows = -(-len(pairs) // columns)
    lines = max(pair.caption.count("\n") for pair in pairs)
    figure = Figure(figsize=(8.4 * columns, (3.05 + 0.17 * lines) * rows + 0.5), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.05)
    figure.suptitle(
        "Dot: upper left corner of the view. Equal numbers: the same place. Cross: outside the other view", fontsize=10
    )
    boxes = figure.subfigures(rows, columns, squeeze=False, wspace=0.03)
    for box, pair in zip(boxes.flat, pairs, strict=False):
        _draw(box.subplots(1, 3), pair, grid)
        box.supxlabel(pair.caption, fontsize=9)
    return figure


def _draw(axes: "Sequence[Axes]", pair: ViewPair, grid: int) -> None:
    matrices = torch.from_numpy(pair.view_to_image).double()
    corners = to_image(matrices, matrices.new_tensor([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])).numpy()
    points = cell_centres(grid, grid, matrices)
    others, seen = to_view(matrices[1:], to_image(matrices[:1], points))
    pictures = {"radiograph": pair.image, "view 1": pair.views[0], "view 2": pair.views[1]}
    for axis, (title, img) in zip(axes, pictures.items(), strict=True):
        axis.imshow(img, cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=9)
        axis.set(xticks=[], yticks=[], autoscale_on=False)
    for k, (axis, places) in enumerate(zip(axes[1:], (points, others[0]), strict=True)):
        x, y = (corners[k] * pair.image.shape[1::-1] - 0.5).T
        axes[0].plot(x, y, color=COLOURS[k], linewidth=2, clip_on=False)
        axes[0].plot(x[0], y[0], "o", color=COLOURS[k], markersize=7, clip_on=False)
        if torch.det(matrices[k, :, :2]) < 0:
            axis.set_title(f"view {k + 1} (flipped)", fontsize=9)
        axis.spines[:].set(color=COLOURS[k], linewidth=3)
        _number(axis, places.numpy() * pair.views[k].shape[::-1] - 0.5, seen[0].tolist())


def _number(axis: "Axes", places: np.ndarray, seen: Sequence[bool]) -> None:
    """Numbers the places that both views show, and crosses out the others."""
    for i, ((x, y), both) in enumerate(zip(places.tolist(), seen, strict=True), 1):
        if both:
            label = dict(boxstyle="circle,pad=0.12", facecolor="#ffe94d", edgecolor="none", alpha=0.85)
            axis.text(x, y, str(i), fontsize=8, ha="center", va="center", color="black", bbox=label)
        else:
            axis.plot(x, y, "x", color="#ff5a5a", markersize=5)
