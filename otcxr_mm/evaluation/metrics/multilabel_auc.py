"""Area under the ROC and the precision-recall curve, for labels that may be unknown, and what goes with them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from ...registry import METRICS
from ..statistics.auc import per_class
from ..statistics.bootstrap import DRAWS, patient_codes, unit_id
from ..statistics.classification import report
from ..statistics.subgroups import ATTRIBUTES
from .log_table import table

__all__ = ["MultiLabelAUC", "per_class"]

# where a data sample says it
_PLACES = {"sex": "sex", "age": "age", "view": "view_position"}
_KEPT = ("sample_idx", "image", "patient_id", "collection", *_PLACES.values())


@METRICS.register_module()
class MultiLabelAUC(BaseMetric):
    """AUROC and AUPRC per class and their means over the classes that are defined.

    A class without positives or without negatives is left out of the mean, named in the log, and counted in `classes`.
    Intervals (95 %) come from a bootstrap over patients; images whose samples bring no `patient_id` (see
    :class:`otcxr_mm.PackCXR`) are drawn one by one. Scores are taken as probabilities for the calibration, as
    MultiLabelLinearClsHead gives them.

    Attributes:
        thresholds: Class to threshold, chosen on other images (such as ``details['best_f1']`` of a validation); set it
            before the evaluation to get F1, sensitivity, specificity and predictive values there.
        details: After an evaluation, on the main process: what :func:`.classification.report` gives, and images,
            patients (known), without_patient (images), units that the bootstrap draws ('patients', 'images', or both).
        arrays: After an evaluation, on the main process, in the order of sample_idx: sample_idx (n,) int64, image (n,),
            the images' paths below their data roots, to join the predictions with a table; classes (C,), patient (n,)
            int64 codes, scores and labels (n, C) float32, labels NaN where unknown.

    Args:
        classes: Names of the classes; default those of the data set.
        collect_device: Where results of several processes are gathered.
        prefix: Before the names of the metrics.
        draws: Bootstrap draws; 0: no intervals.
        seed: Of the draws.
        specificities: At which the sensitivity is given.
        subgroups: Attributes whose groups are reported: of 'sex', 'age' and 'view'.

    Raises:
        ValueError: For an unknown attribute, a specificity outside [0, 1], or negative draws.
    """

    default_prefix = "multilabel"

    def __init__(
        self,
        classes: Sequence[str] | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
        draws: int = DRAWS,
        seed: int = 0,
        specificities: Sequence[float] = (0.9, 0.95),
        subgroups: Sequence[str] = ATTRIBUTES,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        unknown = [name for name in subgroups if name not in ATTRIBUTES]
        if unknown:
            raise ValueError(f"MultiLabelAUC: subgroups are of {list(ATTRIBUTES)}, got {unknown}")
        if not all(0 <= value <= 1 for value in specificities):
            raise ValueError(f"MultiLabelAUC: specificities lie in [0, 1], got {list(specificities)}")
        if draws < 0:
            raise ValueError(f"MultiLabelAUC: draws is a number of bootstrap draws, or 0 for none, got {draws}")
        self.classes, self.draws, self.seed = classes, draws, seed
        self.specificities, self.subgroups = tuple(specificities), tuple(subgroups)
        self.thresholds: Mapping[str, float | None] | None = None
        self.details: dict | None = None
        self.arrays: dict[str, np.ndarray] | None = None

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keeps scores, labels, and whose they are, of a batch.

        Args:
            data_batch: Unused.
            data_samples: With `pred_score` and `gt_score`, (C,) each.

        Raises:
            ValueError: If a sample has no labels.
        """
        for sample in data_samples:
            if "gt_score" not in sample:
                raise ValueError(
                    "a sample has no gt_score: the data set must have labels, and its pipeline end in PackInputs"
                )
            scores, labels = torch.as_tensor(sample["pred_score"]), torch.as_tensor(sample["gt_score"])
            who = {name: sample.get(name) for name in _KEPT}
            self.results.append((scores.float().cpu().numpy(), labels.float().cpu().numpy(), who))

    def compute_metrics(self, results: list[tuple[np.ndarray, np.ndarray, dict]]) -> dict[str, float]:
        """The metrics; a class's own under `auroc/NAME`, NaN if undefined.

        Args:
            results: What :meth:`process` kept, of all processes.

        Raises:
            ValueError: If no class is defined, or there are not as many names as scores.
        """
        index, results = _in_order(results)
        scores, labels = (np.stack([row[part] for row in results]) for part in (0, 1))
        names = self.classes or (self.dataset_meta or {}).get("classes") or [str(c) for c in range(scores.shape[1])]
        if len(names) != scores.shape[1]:
            raise ValueError(
                f"{len(names)} names of classes, {scores.shape[1]} scores: does num_classes of the head fit?"
            )
        ids = np.array([unit_id(who) for *_, who in results])
        patient = patient_codes(ids)
        details = report(
            labels.astype(np.float64),
            scores.astype(np.float64),
            patient,
            names,
            self.draws,
            self.seed,
            self.specificities,
            self.thresholds,
            {name: _people(name, results) for name in self.subgroups},
        )
        undefined = [row["name"] for row in details["classes"] if row["auroc"] is None]
        defined = len(names) - len(undefined)
        if not defined:
            raise ValueError(f"no class has both positives and negatives among the {len(labels)} images")
        if undefined:
            print_log(
                f"macro AUROC over {defined} of {len(names)} classes; without positives or without negatives: "
                f"{', '.join(undefined)}",
                "current",
            )
        without = int((ids == "").sum())
        known = len(np.unique(ids[ids != ""]))
        units = "patients" if not without else "patients and images" if known else "images"
        who = {"images": len(labels), "patients": known, "without_patient": without, "units": units}
        self.details = {**who, **details}
        self.arrays = {
            "sample_idx": index,
            "image": np.array([str(who["image"] or "") for *_, who in results]),
            "classes": np.array([str(name) for name in names]),
            "patient": patient,
            "scores": scores,
            "labels": labels,
        }
        print_log(f"{_heading(self.details)}\n{table(self.details)}", "current")
        return self._flat(details)

    def _flat(self, details: dict) -> dict[str, float]:
        macro = details["macro"]
        metrics = {"auroc": macro["auroc"], "auprc": macro["auprc"], "classes": macro["classes"]}
        if self.draws:
            metrics["auroc_low"], metrics["auroc_high"] = macro["auroc_interval"] or (float("nan"),) * 2
        if self.thresholds is not None:
            metrics["f1"] = float("nan") if macro["f1"] is None else macro["f1"]
        for row in details["classes"]:
            for name in ("auroc", "auprc"):
                metrics[f"{name}/{row['name']}"] = float("nan") if row[name] is None else row[name]
        return metrics


def _in_order(results: list[tuple[np.ndarray, np.ndarray, dict]]) -> tuple[np.ndarray, list]:
    """The results in the data set's order, whatever process they come from, and their indices in it.

    Where indices are unknown or stand there twice, as those of concatenated data sets, the order is as gathered.
    """
    index = [who["sample_idx"] for *_, who in results]
    if None in index or len(set(map(int, index))) < len(index):
        return np.arange(len(results)), results
    index = np.array(index, dtype=np.int64)
    order = np.argsort(index)
    return index[order], [results[i] for i in order]


def _people(attribute: str, results: list[tuple[np.ndarray, np.ndarray, dict]]) -> np.ndarray:
    values = [who[_PLACES[attribute]] for *_, who in results]
    if attribute == "age":
        return np.array([np.nan if value is None else float(value) for value in values])
    return np.array([str(value or "") for value in values])


def _heading(details: dict) -> str:
    text = f"{details['images']} images of {details['patients']} patients"
    if details["units"] == "images":
        text = f"{details['images']} images without patient ids"
    elif details["without_patient"]:
        text += f", {details['without_patient']} images without a patient id"
    if not details["draws"]:
        return text
    return f"{text}; [95 % intervals] by bootstrap, {details['draws']} draws of {details['units']}"
