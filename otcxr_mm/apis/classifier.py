"""Findings of radiographs, by name."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from mmpretrain.models import BaseClassifier
from mmpretrain.structures import DataSample

from ..engine.provenance import file_record
from ..utils.files import write_whole
from ..visualization.heat import heat_png
from .heatmaps import grad_cam
from .images import Image, batches
from .inferencer import CXRInferencer, Unread, picture_file
from .trained import Trained

PANELS = 3  # heat maps on a picture


class CXRClassifierInferencer(CXRInferencer):
    """Probabilities of findings, as `otcxr test` computes them, and the decisions at the run's own thresholds.

    The thresholds are those that the test of these very weights chose on validation images, from `results.json` beside
    the checkpoint; a class for which none was chosen has no decision. ::

        inferencer = otcxr_mm.CXRClassifierInferencer("work_dirs/linear_r50_nih")
        inferencer(["a.png", "b.dcm"])  # [{'path': 'a.png', 'scores': {'Effusion': 0.12, ...}, 'positive': {...}}, ...]

    Research software, not a medical device: a score is not a diagnosis.

    Attributes:
        classes: Names of the findings.
        thresholds: Threshold of each class, at or above which it is called positive; None where none was chosen.
        tested: What `results.json` says of each class, such as its calibration error `ece`; {} without a test.
    """

    def __init__(
        self,
        source: str | os.PathLike | Trained,
        device: str | torch.device | None = None,
        max_value: int | None = None,
    ) -> None:
        super().__init__(source, device, max_value)
        named = (self.trained.meta.get("dataset_meta") or {}).get("classes")
        self.classes = [str(name) for name in named or range(self.config["model"]["head"]["num_classes"])]
        self.columns = self.classes
        self.tested = _tested(self.trained)
        chosen = {name: (row.get("at_threshold") or {}).get("threshold") for name, row in self.tested.items()}
        self.thresholds = {name: chosen.get(name) for name in self.classes}

    def check(self, trained: Trained) -> None:
        """Raises a ValueError unless the model is a classifier."""
        if not isinstance(self.model, BaseClassifier):
            raise ValueError(
                f"{trained.path}: {type(self.model).__name__} is not a classifier: name a run of linear evaluation or "
                "fine-tuning, or use otcxr embed"
            )

    def row(self, result: DataSample) -> np.ndarray:
        """Probabilities, (C,)."""
        return result.pred_score.float().cpu().numpy()

    def describe(self, result: DataSample) -> dict:
        """Probability of each finding, and the decision where there is a threshold."""
        scores = dict(zip(self.classes, self.row(result).tolist(), strict=True))
        return {"scores": scores, "positive": self.decide(scores)}

    def decide(self, scores: Mapping[str, float]) -> dict[str, bool]:
        """Which findings reach their threshold, of those that have one."""
        return {name: scores[name] >= at for name, at in self.thresholds.items() if at is not None}

    def heat_maps(self, image: Image, classes: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Where the features lie that raise the scores of some classes, see :func:`.heatmaps.grad_cam`.

        Args:
            image: What :func:`.images.find_images` lists.
            classes: Names.

        Returns:
            The image as the network sees it, (H, W) from 0 to 255, and the map (h, w) of each class.

        Raises:
            ValueError: If the image cannot be read, or the backbone does not return maps.
        """
        ((entry,),) = batches([image], self.pipeline, 1, 0)
        if entry.tensor is None:
            raise ValueError(entry.reason)
        inputs = self.model.data_preprocessor({"inputs": entry.tensor[None]}, False)["inputs"]
        maps = grad_cam(self.model, inputs, [self.classes.index(name) for name in classes])[0].cpu().numpy()
        return entry.tensor[0].numpy(), dict(zip(classes, maps, strict=True))

    def draw(self, image: Image, result: DataSample, number: int, folder: Path) -> Path | None:
        """Draws heat maps of the findings that reach their thresholds, at most three, or else of the likeliest."""
        if isinstance(result, Unread):
            return None
        scores = self.describe(result)["scores"]
        order = sorted(scores, key=scores.get, reverse=True)
        decisions = self.decide(scores)
        chosen = [name for name in order if decisions.get(name)][:PANELS] or order[:1]
        pixels, maps = self.heat_maps(image, chosen)
        file = picture_file(image, number, folder)
        write_whole(file, heat_png(pixels, {f"{name}: score {scores[name]:.2f}": maps[name] for name in chosen}))
        return file


def _tested(trained: Trained) -> dict[str, dict]:
    """Rows of the classes in `results.json` beside a checkpoint, if it is of a test of these weights."""
    try:
        record = json.loads((trained.path.parent / "results.json").read_text(encoding="utf-8"))
        if record["checkpoint"]["sha256"] != file_record(str(trained.path))["sha256"]:
            return {}
        return {str(row["name"]): row for row in record["details"]["classes"]}
    except (OSError, ValueError, KeyError, TypeError):  # no test, or another program's file
        return {}
