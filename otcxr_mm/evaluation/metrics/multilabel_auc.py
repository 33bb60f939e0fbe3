"""Area under the ROC and the precision-recall curve, for labels that may be unknown."""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from ...registry import METRICS


def per_class(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision of each class over the images whose label is known.

    Args:
        labels: (n, C): 1, 0, or NaN for unknown.
        scores: (n, C), larger means more likely.

    Returns:
        AUROC and AUPRC, (C,) each; NaN for a class that lacks positives or negatives.

    Raises:
        ValueError: For shapes that differ, or scores that are not finite.
    """
    if labels.shape != scores.shape or labels.ndim != 2:
        raise ValueError(f"labels and scores have the same shape (n, C), got {labels.shape} and {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(
            f"{int((~np.isfinite(scores)).any(1).sum())} of {len(scores)} images have a score that is NaN "
            "or infinite: the model diverged"
        )
    from sklearn.metrics import average_precision_score, roc_auc_score  # slow to import

    auroc, auprc = np.full(labels.shape[1], np.nan), np.full(labels.shape[1], np.nan)
    for c in range(labels.shape[1]):
        known = np.isfinite(labels[:, c])
        y, s = labels[known, c] > 0.5, scores[known, c]
        if 0 < y.sum() < len(y):
            auroc[c], auprc[c] = roc_auc_score(y, s), average_precision_score(y, s)
    return auroc, auprc


@METRICS.register_module()
class MultiLabelAUC(BaseMetric):
    """AUROC and AUPRC per class and their means over the classes that are defined.

    A class without positives or without negatives is left out of the mean, named in the log, and counted in `classes`.

    Args:
        classes: Names of the classes; default those of the data set.
        collect_device: Where results of several processes are gathered.
        prefix: Before the names of the metrics.
    """

    default_prefix = "multilabel"

    def __init__(
        self, classes: Sequence[str] | None = None, collect_device: str = "cpu", prefix: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.classes = classes

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keeps scores and labels of a batch."""
        for sample in data_samples:
            if "gt_score" not in sample:
                raise ValueError(
                    "a sample has no gt_score: the data set must have labels, and its pipeline end in PackInputs"
                )
            scores, labels = torch.as_tensor(sample["pred_score"]), torch.as_tensor(sample["gt_score"])
            self.results.append((scores.float().cpu().numpy(), labels.float().cpu().numpy()))

    def compute_metrics(self, results: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
        """The metrics; a class's own under `auroc/NAME`, NaN if undefined."""
        scores, labels = (np.stack(part) for part in zip(*results, strict=True))
        auroc, auprc = per_class(labels.astype(np.float64), scores.astype(np.float64))
        names = self.classes or (self.dataset_meta or {}).get("classes") or [str(c) for c in range(len(auroc))]
        if len(names) != len(auroc):
            raise ValueError(f"{len(names)} names of classes, {len(auroc)} scores: does num_classes of the head fit?")
        defined = np.isfinite(auroc)
        if not defined.any():
            raise ValueError(f"no class has both positives and negatives among the {len(labels)} images")
        left_out = [name for name, ok in zip(names, defined, strict=True) if not ok]
        if left_out:
            print_log(
                f"macro AUROC over {defined.sum()} of {len(names)} classes; without positives or without negatives: "
                f"{', '.join(left_out)}",
                "current",
            )
        metrics = {"auroc": float(auroc[defined].mean()), "auprc": float(auprc[defined].mean())}
        metrics["classes"] = int(defined.sum())
        for name, a, p in zip(names, auroc, auprc, strict=True):
            metrics[f"auroc/{name}"], metrics[f"auprc/{name}"] = float(a), float(p)
        return metrics
