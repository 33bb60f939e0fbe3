"""Evaluation of a frozen backbone: linear probe, kNN, lungs from dense features, correspondence, effective rank.

Every choice (weight decay of a probe, strength of the ridge) is made on validation patients; test patients are read
only on request.
"""

import numpy as np
import torch
from mmcv.cnn import fuse_conv_bn
from torch import Tensor, nn

from otcxr_mm.ops import correspondence, effective_rank
from otcxr_mm.visualization.features import dense_tokens
from otcxr_mm.visualization.views import cropped_pairs

from .probes import carried, cross_validated, knn, lungs, macro_auroc, probe
from .tasks import Task


class Frozen:
    """A backbone in evaluation mode.

    Args:
        backbone: Puts out two or more stages; the last two are used.
        preprocessor: Normalises.
        device: Where it runs.
    """

    def __init__(self, backbone: nn.Module, preprocessor: nn.Module, device: str) -> None:
        self.backbone, self.preprocessor, self.device = backbone.to(device), preprocessor.to(device), device
        self.backbone.eval()
        # on a CPU, the maps of more images than these do not fit the caches, and a pass takes twice as long
        self.batch_size = 16 if device == "cpu" else 128

    def fuse(self) -> None:
        """Takes batch norm into the convolutions, which halves the time and keeps features to 1e-4 of their size."""
        self.backbone = fuse_conv_bn(self.backbone)

    def _batch(self, images: np.ndarray) -> tuple[Tensor, ...]:
        data = {"inputs": torch.from_numpy(np.ascontiguousarray(images))[:, None]}
        return self.backbone(self.preprocessor(data)["inputs"])[-2:]

    @torch.no_grad()
    def calibrate(self, images: np.ndarray, rng: np.random.Generator) -> None:
        """Sets the batch norm statistics to those of these images, for an untrained network."""
        norms = [m for m in self.backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        self.backbone.train()
        order = rng.permutation(len(images))[:1024]
        for start in range(0, len(order), 64):
            self._batch(images[order[start : start + 64]])
        self.backbone.eval()

    @torch.no_grad()
    def features(self, images: np.ndarray, dense: bool = False) -> tuple[Tensor, Tensor | None]:
        """Pooled features of the last stage (n, C), and dense ones of both stages on the finer grid (n, h w, C)."""
        pooled, tokens = [], []
        for start in range(0, len(images), self.batch_size):
            feats = self._batch(images[start : start + self.batch_size])
            pooled.append(feats[-1].mean((2, 3)).cpu())
            if dense:
                tokens.append(dense_tokens(feats)[0].cpu())
        return torch.cat(pooled), torch.cat(tokens) if dense else None


@torch.no_grad()
def match(frozen: Frozen, images: np.ndarray, seed: int) -> np.ndarray:
    """Counts of :func:`otcxr_mm.ops.correspondence`, (n, 4): correct, index, chance, tokens."""
    pairs, matrices = cropped_pairs(images, seed)
    tokens, grid = [], None
    size = frozen.batch_size
    for views in pairs:
        feats = [frozen._batch(views[start : start + size]) for start in range(0, len(views), size)]
        grid = tuple(feats[0][0].shape[-2:])
        tokens.append(torch.cat([dense_tokens(f)[0].cpu() for f in feats]))
    counts = correspondence(*tokens, matrices[:, 0], matrices[:, 1], grid)
    return torch.stack([counts.correct, counts.index, counts.chance, counts.tokens], 1).numpy()


def evaluate(frozen: Frozen, tasks: dict[str, Task], test: bool) -> tuple[dict, dict]:
    """All measurements.

    Args:
        frozen: The backbone.
        tasks: From :func:`load_tasks`.
        test: Whether test patients are read.

    Returns:
        {split: {metric: value}}, and per-image arrays to bootstrap from, by task and split.
    """
    splits = ("train", "val", "test") if test else ("train", "val")
    metrics: dict[str, dict] = {split: {} for split in splits[1:]}
    arrays: dict[str, np.ndarray] = {}
    choices = {}
    for name in ("kermany", "nih", "nih_followup"):
        task = tasks[name]
        x = {s: frozen.features(task.images[task.split == s])[0].numpy() for s in splits}
        y = {s: task.labels[task.split == s] for s in splits}
        columns = list(range(len(task.classes)))
        if name != "kermany":
            # the findings that can be measured at all
            positives = task.labels[task.split == "test"].sum(0)
            columns = np.flatnonzero(positives >= min(20, positives.max())).tolist()
        if name == "nih":
            # training and validation patients together, never test patients
            both = [np.concatenate([part["train"], part["val"]]) for part in (x, y)]
            patients = np.concatenate([task.patients[task.split == s] for s in ("train", "val")])
            metrics["val"]["nih_cv"] = cross_validated(*both, patients, columns)
        linear, choices[f"{name}_decay"] = probe(x, y, columns)
        nearest = knn(x, y)
        for s in splits[1:]:
            metrics[s][f"{name}_linear"] = macro_auroc(y[s], linear[s], columns)
            metrics[s][f"{name}_knn"] = macro_auroc(y[s], nearest[s], columns)
            arrays[f"{name}/{s}/linear"] = linear[s][:, columns].astype(np.float32)
            arrays[f"{name}/{s}/knn"] = nearest[s][:, columns].astype(np.float32)
            arrays[f"{name}/{s}/labels"] = y[s][:, columns]
            arrays[f"{name}/{s}/patients"] = task.patients[task.split == s]
            metrics[s][f"{name}_rank"] = effective_rank(torch.from_numpy(x[s])).item()
    choices["lung_ridge"] = evaluate_lungs(frozen, tasks["lungs"], metrics, arrays)
    for s in splits[1:]:
        chosen = {n: tasks[n].split == s for n in ("kermany", "nih")}
        images = np.concatenate([tasks[n].images[c] for n, c in chosen.items()])
        counts = match(frozen, images, seed=1)
        arrays[f"match/{s}/counts"] = counts
        arrays[f"match/{s}/patients"] = np.concatenate(
            [np.char.add(n, tasks[n].patients[c]) for n, c in chosen.items()]
        )
        total = counts.sum(0)
        for i, what in enumerate(("", "_index", "_chance")):
            metrics[s][f"correspondence{what}"] = float(total[i] / total[3])
    metrics["choices"] = choices
    return metrics, arrays


def evaluate_lungs(
    frozen: Frozen, task: Task, metrics: dict[str, dict[str, float]], arrays: dict[str, np.ndarray]
) -> float:
    """Adds what the dense features know of lungs, for the splits of `metrics`; returns the ridge that was chosen."""
    splits = ("train", *metrics)
    tokens = {s: frozen.features(task.images[task.split == s], dense=True)[1].numpy() for s in splits}
    result, ridge = lungs(tokens, {s: task.labels[task.split == s] for s in splits})
    for s in splits[1:]:
        parts = np.stack(result[s], 1)
        means = parts.mean(0)
        metrics[s]["lung_dice"], metrics[s]["lung_r2"] = float(means[0]), float(1 - means[1] / means[2])
        metrics[s]["lung_dice_blind"], metrics[s]["lung_r2_blind"] = float(means[3]), float(1 - means[4] / means[2])
        arrays[f"lungs/{s}/parts"] = parts
        arrays[f"lungs/{s}/patients"] = task.patients[task.split == s]
        dices = carried(tokens[s], task.labels[task.split == s], task.patients[task.split == s])
        metrics[s]["carried_dice"], metrics[s]["carried_dice_index"] = dices.mean(0).tolist()
        arrays[f"carried/{s}/dice"], arrays[f"carried/{s}/patients"] = dices, task.patients[task.split == s]
    return ridge
