"""Area under the ROC and the precision-recall curve, for labels that may be unknown, and what goes with them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from ...registry import METRICS
from ..statistics.bootstrap import DRAWS, patient_codes, study_id, unit_id
from ..statistics.classification import report
from ..statistics.studies import POOLED, pool
from .log_table import table

_KEPT = ("sample_idx", "image", "sex", "age", "view_position")


@METRICS.register_module()
class MultiLabelAUC(BaseMetric):
    """AUROC and AUPRC per class and their means over the classes that are defined.

    A class without positives or without negatives is left out of the mean; `classes` counts those in it.
    Intervals (95 %) come from a bootstrap over patients; images whose samples have no `patient_id` (see
    :class:`otcxr_mm.PackCXR`) are drawn one by one. Calibration takes the scores as probabilities, as
    MultiLabelLinearClsHead returns them.

    Attributes:
        thresholds: Class to threshold, chosen on other images (such as ``details['best_f1']`` of a validation); set it
            before the evaluation to get F1, sensitivity, specificity and predictive values there.
        details: After an evaluation, on the main process: the result of :func:`.classification.report`, and images,
            patients (known), without_patient (images), units that the bootstrap draws ('patients', 'images', or both).
            With `studies`, the same of studies under that name, and `pooled`, how.
        arrays: After an evaluation, on the main process, in the order of the data set: sample_idx (n,) int64, image
            (n,), the images' paths below their data roots, to join the predictions with a table; classes (C,), patient
            (n,) int64 codes, scores and labels (n, C) float32, labels NaN where unknown. With `studies`, also study
            (n,) int64 codes from 0 to S - 1, study_scores and study_labels (S, C) float32.

    Args:
        classes: Names of the classes; default: those of the data set.
        draws: Bootstrap draws; 0: no intervals.
        studies: ``'mean'`` or ``'max'``: evaluates studies, too, whose score is the mean or maximum of the scores of
            their images in the data set. A study has a finding if one of its images is labelled with it. An image
            whose sample has no `study_id` is a study of its own.
        **kwargs: Arguments of MMEngine's BaseMetric.
    """

    default_prefix = "multilabel"

    def __init__(
        self,
        classes: Sequence[str] | None = None,
        draws: int = DRAWS,
        studies: str | None = None,
        **kwargs: object,
    ) -> None:
        if studies not in (None, *POOLED):
            raise ValueError(f"MultiLabelAUC: studies must be one of {[None, *POOLED]}, got {studies!r}")
        super().__init__(**kwargs)
        self.classes, self.draws, self.studies = classes, draws, studies
        self.thresholds: Mapping[str, float | None] | None = None
        self.details: dict | None = None
        self.arrays: dict[str, np.ndarray] | None = None

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keeps scores, labels and patients of a batch.

        Args:
            data_batch: Unused.
            data_samples: With `pred_score` and `gt_score`, (C,) each.
        """
        for sample in data_samples:
            values = (torch.as_tensor(sample[key]).float().cpu().numpy() for key in ("pred_score", "gt_score"))
            who = {"unit": unit_id(sample), "study": study_id(sample)}
            self.results.append((*values, who | {name: sample.get(name) for name in _KEPT}))

    def compute_metrics(self, results: list[tuple[np.ndarray, np.ndarray, dict]]) -> dict[str, float]:
        """Computes the metrics; those of a class are called `auroc/NAME`, NaN if undefined.

        Args:
            results: What :meth:`process` kept, of all processes.

        Raises:
            ValueError: If no class is defined, or the number of names is not that of scores.
        """
        scores, labels, who = zip(*results, strict=True)
        scores, labels = np.stack(scores), np.stack(labels)
        of_images = {key: [image[key] for image in who] for key in who[0]}
        names = self.classes or (self.dataset_meta or {}).get("classes") or range(scores.shape[1])
        names = [str(name) for name in names]
        if len(names) != scores.shape[1]:
            raise ValueError(
                f"{len(names)} names of classes, {scores.shape[1]} scores: does num_classes of the head match?"
            )
        patient = patient_codes(of_images["unit"])
        wide = labels.astype(np.float64), scores.astype(np.float64)
        details = report(*wide, patient, names, self.draws, self.thresholds, _people(of_images))
        if not details["macro"]["classes"]:
            raise ValueError(f"no class has both positives and negatives among the {len(labels)} images")
        self.details = {**_units(of_images["unit"]), **details}
        index = [i if given is None else int(given) for i, given in enumerate(of_images["sample_idx"])]
        self.arrays = {
            "sample_idx": np.array(index, dtype=np.int64),
            "image": np.array([str(image or "") for image in of_images["image"]]),
            "classes": np.array(names),
            "patient": patient,
            "scores": scores,
            "labels": labels,
        }
        text = "{images} images of {patients} patients, {without_patient} without a patient id"
        text += "; [95 % intervals] over {draws} bootstrap draws of {units}\n" if self.draws else "\n"
        print_log(text.format(**self.details) + table(self.details), "current")
        metrics = self._flat(details)
        return metrics | self._of_studies(patient_codes(of_images["study"])) if self.studies else metrics

    def _of_studies(self, study: np.ndarray) -> dict[str, float]:
        """Evaluates studies by their codes of images, (n,); metrics are called `study_auroc` and so on."""
        names, arrays = self.arrays["classes"].tolist(), self.arrays
        scores = pool(arrays["scores"].astype(np.float64), study, self.studies)
        labels = pool(arrays["labels"].astype(np.float64), study, "max")
        patient = np.unique(pool(arrays["patient"][:, None], study, "max"), return_inverse=True)[1].ravel()
        details = report(labels, scores, patient, names, self.draws)
        self.details["studies"] = {"pooled": self.studies, "studies": len(scores), **details}
        arrays |= {"study": study, "study_scores": np.float32(scores), "study_labels": np.float32(labels)}
        print_log(f"{len(scores)} studies, {self.studies} of their images\n{table(details)}", "current")
        found = self._flat(details)
        return {f"study_{name}": value for name, value in found.items() if name.startswith("au")}

    def _flat(self, details: dict) -> dict[str, float]:
        macro = details["macro"]
        metrics = {"auroc": macro["auroc"], "auprc": macro["auprc"], "classes": macro["classes"]}
        if self.draws:
            metrics["auroc_low"], metrics["auroc_high"] = macro["auroc_interval"] or (None, None)
        if self.thresholds is not None:
            metrics["f1"] = macro["f1"]
        for row in details["classes"]:
            metrics |= {f"{name}/{row['name']}": row[name] for name in ("auroc", "auprc")}
        return {name: float("nan") if value is None else value for name, value in metrics.items()}


def _people(of_images: Mapping[str, list]) -> dict[str, np.ndarray]:
    """Sex, age (NaN for unknown) and view ('' for unknown) of each image."""
    ages = np.array([np.nan if age is None else float(age) for age in of_images["age"]])
    sex, view = (np.array([str(value or "") for value in of_images[key]]) for key in ("sex", "view_position"))
    return {"sex": sex, "age": ages, "view": view}


def _units(ids: Sequence[str]) -> dict[str, int | str]:
    """What the bootstrap draws."""
    without, known = list(ids).count(""), len({*ids} - {""})
    units = "patients" if not without else "patients and images" if known else "images"
    return {"images": len(ids), "patients": known, "without_patient": without, "units": units}
