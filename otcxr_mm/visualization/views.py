"""Pairs of viewpoints as a pipeline gives them, with what is known of their geometry."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..datasets.inspection import leaves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..datasets import BaseCXRDataset

# orange and blue keep apart for the colour-blind, and on grey
COLOURS = ("#ff9f1c", "#3ec1f3")


@dataclass(frozen=True)
class ViewPair:
    """Two viewpoints of a radiograph.

    Attributes:
        image: The radiograph that the viewpoints were cut from, (H, W).
        views: The two viewpoints, (h, w) each, on the scale 0 to 255.
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
        count: Images, drawn from all; fewer if there are fewer.
        seed: Of the images, and of the pipeline's draws.
        show_ids: Whether captions name patient and path.

    Returns:
        The pairs, in the order of the data set.

    Raises:
        ValueError: If the pipeline makes no pair of viewpoints with known geometry.
    """
    parts = [leaf for leaf in leaves(dataset) if hasattr(leaf, "clock")]
    if not parts:
        raise ValueError(f"{type(dataset).__name__} holds no data set of otcxr_mm")
    rows = [(part, i) for part in parts for i in range(len(part))]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:count])
    for stream, part in enumerate(parts):
        part.set_epoch(seed, 0, stream)
    several = {id(part): f"set {k}, " for k, part in enumerate(parts)} if len(parts) > 1 else {}
    return [_pair(part, i, several.get(id(part), ""), show_ids) for part, i in (rows[k] for k in chosen.tolist())]


def _pair(dataset: "BaseCXRDataset", idx: int, name: str, show_ids: bool) -> ViewPair:
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
            f"{type(dataset).__name__}: the pipeline gives no `view_to_image` of two viewpoints, as "
            "otcxr_mm.TwoViewCrop does; there is nothing to compare"
        )
    views = tuple(np.asarray(view[0], np.float32) for view in info["inputs"])
    return ViewPair(image, views, matrices, caption)


def _caption(dataset: "BaseCXRDataset", info: dict, show_ids: bool) -> str:
    parts = [f"image {info['sample_idx']}", info["view_position"]]
    if "gt_score" in info:
        names = np.asarray(dataset.metainfo["classes"])
        unknown = int(np.isnan(info["gt_score"]).sum())
        parts.append(", ".join(names[info["gt_score"] == 1]) or "no finding")
        parts.append(f"{unknown} unknown" if unknown else "")
    if show_ids:
        parts += [f"\npatient {info['patient_id'] or 'unknown'}", str(dataset.records.path[info["sample_idx"]])]
    return ", ".join(part for part in parts if part).replace(", \n", "\n")


def correspondences(view_to_image: np.ndarray, grid: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grid of points of the first viewpoint, and where the second one shows the same place.

    Args:
        view_to_image: (2, 2, 3).
        grid: Points a side.

    Returns:
        Points (x, y) of the first viewpoint, (grid², 2), normalised to [0, 1]; the same places in the second one, which
        may lie outside [0, 1]; and whether they lie inside, (grid²,).
    """
    axis = (np.arange(grid) + 0.5) / grid
    first = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    (linear_a, offset_a), (linear_b, offset_b) = ((m[:, :2], m[:, 2]) for m in view_to_image.astype(float))
    second = np.linalg.solve(linear_b, (first @ linear_a.T + offset_a - offset_b).T).T
    return first, second, ((second >= 0) & (second <= 1)).all(1)


def contact_sheet(pairs: Sequence[ViewPair], columns: int = 2, grid: int = 4) -> "Figure":
    """Radiographs with the outlines of both crops, beside them the viewpoints with the same places numbered alike.

    Args:
        pairs: At least one.
        columns: Pairs a row of the sheet.
        grid: Points a side of the first viewpoint.

    Returns:
        A matplotlib figure, for `savefig`.
    """
    from matplotlib.figure import Figure

    columns = min(columns, len(pairs))
    rows = -(-len(pairs) // columns)
    lines = max(pair.caption.count("\n") for pair in pairs)
    figure = Figure(figsize=(8.4 * columns, (3.05 + 0.17 * lines) * rows + 0.5), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.05)
    figure.suptitle(
        "Dot: the viewpoint's upper left corner. Equal numbers: the same place. Cross: outside the other viewpoint",
        fontsize=10,
    )
    boxes = figure.subfigures(rows, columns, squeeze=False, wspace=0.03)
    for box, pair in zip(boxes.flat, pairs, strict=False):
        _draw(box.subplots(1, 3), pair, grid)
        box.supxlabel(pair.caption, fontsize=9)
    return figure


def _draw(axes: "Sequence[Axes]", pair: ViewPair, grid: int) -> None:
    from matplotlib.patches import Polygon

    height, width = pair.image.shape[:2]
    axes[0].imshow(pair.image, cmap="gray", vmin=0, vmax=255)
    axes[0].set_title("radiograph", fontsize=9)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    for matrix, colour in zip(pair.view_to_image, COLOURS, strict=True):
        outline = (corners @ matrix[:, :2].T + matrix[:, 2]) * (width, height) - 0.5
        axes[0].add_patch(Polygon(outline, fill=False, edgecolor=colour, linewidth=2, clip_on=False))
        axes[0].plot(*outline[0], "o", color=colour, markersize=7, clip_on=False)
    first, second, seen = correspondences(pair.view_to_image, grid)
    names = ("viewpoint 1", "viewpoint 2")
    for axis, view, matrix, points, colour, name in zip(
        axes[1:], pair.views, pair.view_to_image, (first, second), COLOURS, names, strict=True
    ):
        axis.imshow(view, cmap="gray", vmin=0, vmax=255)
        flipped = " (flipped)" if np.linalg.det(matrix[:, :2]) < 0 else ""
        axis.set_title(name + flipped, fontsize=9)
        for side in axis.spines.values():
            side.set(color=colour, linewidth=3)
        _number(axis, points * view.shape[::-1] - 0.5, seen, name == "viewpoint 1")
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])


def _number(axis: "Axes", points: np.ndarray, seen: np.ndarray, all_of_them: bool) -> None:
    """Numbers on the places that both viewpoints show; small dots on the others."""
    for i, ((x, y), both) in enumerate(zip(points.tolist(), seen.tolist(), strict=True), 1):
        if both:
            label = dict(boxstyle="circle,pad=0.12", facecolor="#ffe94d", edgecolor="none", alpha=0.85)
            axis.text(x, y, str(i), fontsize=8, ha="center", va="center", color="black", bbox=label)
        elif all_of_them:
            axis.plot(x, y, "x", color="#ff5a5a", markersize=5)
