"""Draws what a segmentation gets right and wrong."""

import io
import os

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets.content import reader
from ...evaluation import MaskMetric
from ...registry import HOOKS
from ...utils.files import write_whole
from ..model import unwrap_model


@HOOKS.register_module()
class MaskOverlayHook(Hook):
    """Draws true and predicted contours on the worst, median and best test images by Dice, in `WORK_DIR/overlays.png`.

    Images are chosen by the Dice of the test evaluator's :class:`otcxr_mm.MaskMetric` among those that have a
    structure, and are loaded and predicted again. The sheet names no patient and no file.

    Args:
        count: Images of each of the three kinds.
    """

    # after the metric
    priority = "LOW"

    def __init__(self, count: int = 4) -> None:
        self.count = count

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Writes the sheet, and logs its path."""
        metric = next(m for m in runner.test_evaluator.metrics if isinstance(m, MaskMetric))
        from ...visualization.overlays import choose, overlay_sheet

        chosen = choose(metric.arrays["dice"], metric.arrays["pixels"], self.count)
        rows = {name: [self._overlay(runner, metric, int(row)) for row in picked] for name, picked in chosen.items()}
        classes = [row["name"] for row in metric.details["classes"]]
        picture = io.BytesIO()
        having = int((metric.arrays["pixels"] > 0).any(1).sum())
        title = f"{having} of {len(metric.arrays['pixels'])} images with {' or '.join(classes)}"
        overlay_sheet(rows, classes, title).savefig(picture, format="png", dpi=130)
        path = os.path.join(runner.work_dir, "overlays.png")
        write_whole(path, picture.getvalue())
        runner.logger.info(f"contours of the worst, median and best images: {path}")

    @staticmethod
    def _overlay(runner: Runner, metric: MaskMetric, row: int) -> object:
        """An image with its masks; the metric's rows are in the order of the data set."""
        from ...visualization.overlays import Overlay

        loader = runner.test_dataloader
        with torch.no_grad():
            sample = unwrap_model(runner).test_step(loader.collate_fn([loader.dataset[row]]))[0]
        masks = (field.data.cpu().numpy().astype(bool) for field in (sample.gt_masks, sample.pred_masks))
        return Overlay(reader(loader.dataset)(row), *masks, metric.arrays["dice"][row])
