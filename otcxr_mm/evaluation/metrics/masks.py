"""Masks against masks, with intervals over patients."""

import logging
from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from ...registry import METRICS
from ..statistics.bootstrap import DRAWS, interval, mean_over_classes, patient_codes, patient_weights, unit_id
from ..statistics.masks import hd95, overlap, patient_means
from ..statistics.plain import number, pair

MEASURES = ("dice", "iou", "hd95")


@METRICS.register_module()
class MaskMetric(BaseMetric):
    """Dice, IoU and HD95 of each image and class at the resolution of the original, and their means.

    HD95 is the 95th percentile of the Hausdorff distance (:func:`otcxr_mm.evaluation.statistics.masks.hd95`), in
    pixels of the original, or in millimetres if every sample has `pixel_spacing`, height and width of a pixel.

    If prediction and truth are both empty, Dice and IoU are 1 and HD95 is 0; if only one is, Dice and IoU are 0 and
    HD95 is the image's diagonal. `dice_present` and the like are means over the images that have the structure.

    A mean over several classes is the mean of their means. Intervals (95 %) come from a bootstrap over patients;
    images whose samples have no `patient_id` are drawn one by one.

    Attributes:
        details: After an evaluation: means, intervals, counts of each class, and the unit; plain JSON.
        arrays: `sample_idx` (n,), `image` (n,), the images' paths below their data roots, `classes` (K,), `patient`
            (n,) codes, `dice`, `iou`, `hd95`, `pixels` (true area) (n, K), in the order of the data set.

    Args:
        classes: Names of the classes; default: `mask_classes` of the samples.
        draws: Bootstrap draws.
        **kwargs: Arguments of MMEngine's BaseMetric.
    """

    default_prefix = "mask"

    def __init__(self, classes: Sequence[str] | None = None, draws: int = DRAWS, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.classes, self.draws = classes, draws
        self._named: Sequence[str] | None = None
        self.details: dict = {}
        self.arrays: dict[str, np.ndarray] = {}

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Compares the masks of a batch.

        Args:
            data_batch: Unused.
            data_samples: With `pred_masks` and `gt_masks`, (K, H, W) each, 0 or 1.

        Raises:
            ValueError: If predicted and true masks differ in shape.
        """
        for sample in data_samples:
            predicted, true = (sample[key]["data"].cpu().numpy().astype(bool) for key in ("pred_masks", "gt_masks"))
            if predicted.shape != true.shape:
                raise ValueError(
                    f"predicted masks {predicted.shape}, true ones {true.shape}: masks stay at the size of the "
                    "original at test (no MaskedCrop), and num_classes of the head is that of the data set"
                )
            self._named = sample.get("mask_classes")
            given = sample.get("pixel_spacing")
            spacing = (1.0, 1.0) if given is None else given
            distance = [hd95(p, t, spacing) for p, t in zip(predicted, true, strict=True)]
            table = np.stack([*overlap(predicted, true), distance, np.count_nonzero(true, axis=(1, 2))])
            image, index = str(sample.get("image") or ""), int(sample.get("sample_idx", -1))
            self.results.append((index, image, unit_id(sample), given is not None, table))

    def compute_metrics(self, results: list[tuple[int, str, str, bool, np.ndarray]]) -> dict[str, float]:
        """Computes the means; those of a class are called `dice/NAME`.

        Args:
            results: What :meth:`process` kept, of all processes.

        Raises:
            ValueError: If the number of names is not that of classes, or only some samples have `pixel_spacing`.
        """
        sample_idx, image, who, spaced, tables = zip(*results, strict=True)
        if any(spaced) and not all(spaced):
            raise ValueError(
                f"{sum(spaced)} of {len(spaced)} samples have pixel_spacing: HD95 is in millimetres for all or for none"
            )
        values = dict(zip((*MEASURES, "pixels"), np.stack(tables, 1), strict=True))
        names = list(self.classes or self._named or map(str, range(values["dice"].shape[1])))
        if len(names) != values["dice"].shape[1]:
            raise ValueError(f"{len(names)} names of classes, {values['dice'].shape[1]} masks per image")
        patient = patient_codes(who)
        unknown = who.count("")
        if unknown:
            text = f"{unknown} of {len(who)} images have no patient id: the bootstrap draws these images one by one"
            print_log(text, "current", logging.WARNING)
        present = values["pixels"] > 0
        times = patient_weights(patient, self.draws).astype(np.float64)
        metrics, overall = {}, {}
        rows = [
            {"name": name, "images": len(who), "present": int(n)} for name, n in zip(names, present.sum(0), strict=True)
        ]
        for measure in MEASURES:
            for suffix, chosen in (("", None), ("_present", present)):
                key = measure + suffix
                mean, drawn = patient_means(values[measure], patient, times, chosen)
                known = np.isfinite(mean)
                whole, whole_drawn = mean_over_classes(mean[None], known)[0], mean_over_classes(drawn, known)
                metrics[key] = float(whole)
                overall[key] = {"mean": number(whole), "interval": pair(interval(whole_drawn))}
                for k, row in enumerate(rows):
                    if chosen is None:
                        metrics[f"{key}/{row['name']}"] = float(mean[k])
                    row[key] = {"mean": number(mean[k]), "interval": pair(interval(drawn[:, k]))}
        self.arrays = {
            "sample_idx": np.array(sample_idx, np.int64),
            "image": np.array(image),
            "classes": np.array([str(name) for name in names]),
            "patient": patient,
            **{measure: values[measure] for measure in MEASURES},
            "pixels": values["pixels"].astype(np.int64),
        }
        self.details = {
            "images": len(who),
            "patients": int(patient.max()) + 1,
            "unit": "patient" if unknown < len(who) else "image",
            "hd95_unit": "mm" if all(spaced) else "pixel",
            "draws": self.draws,
            "mean": overall,
            "classes": rows,
        }
        return metrics
