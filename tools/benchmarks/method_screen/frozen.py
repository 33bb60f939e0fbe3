"""Evaluation of a frozen backbone: linear probe, kNN, lungs from dense features, correspondence, effective rank.

Every choice (weight decay of a probe, strength of the ridge) is made on validation patients; test patients are read
only on request.
"""

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from torch import Tensor, nn
from torch.nn.functional import normalize

from otcxr_mm.datasets import PhotometricCXR, TwoViewCrop
from otcxr_mm.ops import correspondence, effective_rank
from otcxr_mm.visualization.features import dense_tokens

from .tasks import Task

DECAYS = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0, 30.0)
RIDGES = (1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3, 1e4)


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
        for start in range(0, len(images), 128):
            feats = self._batch(images[start : start + 128])
            pooled.append(feats[-1].mean((2, 3)).cpu())
            if dense:
                tokens.append(dense_tokens(feats)[0].cpu())
        return torch.cat(pooled), torch.cat(tokens) if dense else None


def macro_auroc(labels: np.ndarray, scores: np.ndarray, columns: list[int]) -> float:
    """Mean AUROC over columns that have both classes."""
    return float(np.mean([roc_auc_score(labels[:, c], scores[:, c]) for c in columns if 0 < labels[:, c].mean() < 1]))


def probe(x: dict[str, np.ndarray], y: dict[str, np.ndarray], columns: list[int]) -> tuple[dict, float]:
    """Logistic regression on standardised features, with the weight decay of the best validation macro AUROC.

    Args:
        x: Features by split, (n, C).
        y: Labels by split, (n, classes).
        columns: Classes.

    Returns:
        Scores by split (without train), and the decay.
    """
    mean, std = x["train"].mean(0), x["train"].std(0) + 1e-6
    x = {split: (features - mean) / std for split, features in x.items()}
    best, chosen = None, None
    models = {c: LogisticRegression(max_iter=1000, warm_start=True, tol=1e-3) for c in columns}
    for decay in sorted(DECAYS, reverse=True):
        scores = {split: np.zeros(y[split].shape) for split in x if split != "train"}
        for c in columns:
            models[c].C = 1 / (decay * len(y["train"]))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                models[c].fit(x["train"], y["train"][:, c])
            for split in scores:
                scores[split][:, c] = models[c].decision_function(x[split])
        auroc = macro_auroc(y["val"], scores["val"], columns)
        if best is None or auroc > best[0]:
            best, chosen = (auroc, scores), decay
    return best[1], chosen


def cross_validated(x: np.ndarray, y: np.ndarray, patients: np.ndarray, columns: list[int]) -> float:
    """Macro AUROC of out-of-fold scores over five folds of patients, less noisy than one small validation split.

    It is the largest over the weight decays, with the same search for every method.

    Args:
        x: Features (n, C).
        y: Labels (n, classes).
        patients: (n,).
        columns: Classes.
    """
    scores = {decay: np.zeros(y.shape) for decay in DECAYS}
    for train, held_out in GroupKFold(5).split(x, groups=patients):
        mean, std = x[train].mean(0), x[train].std(0) + 1e-6
        for c in columns:
            model = LogisticRegression(max_iter=1000, warm_start=True, tol=1e-3)
            for decay in sorted(DECAYS, reverse=True):
                model.C = 1 / (decay * len(train))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    model.fit((x[train] - mean) / std, y[train, c])
                scores[decay][held_out, c] = model.decision_function((x[held_out] - mean) / std)
    return max(macro_auroc(y, s, columns) for s in scores.values())


def knn(x: dict[str, np.ndarray], y: dict[str, np.ndarray], k: int = 20, temperature: float = 0.07) -> dict:
    """Weighted k nearest neighbours by cosine of centred features; scores by split (without train)."""
    mean = x["train"].mean(0)
    x = {split: normalize(torch.from_numpy(features - mean), dim=1) for split, features in x.items()}
    scores = {}
    for split in x:
        if split == "train":
            continue
        similarity, index = (x[split] @ x["train"].T).topk(k)
        weights = torch.softmax(similarity / temperature, 1)
        scores[split] = torch.einsum("nk,nkc->nc", weights, torch.from_numpy(y["train"]).float()[index]).numpy()
    return scores


def lungs(tokens: dict[str, np.ndarray], masks: dict[str, np.ndarray]) -> tuple[dict, float]:
    """Ridge regression from each token alone to the lung in its cell, at half the image's resolution.

    Args:
        tokens: Features by split, (n, h w, C).
        masks: Share of lung by split, (n, H, H) in 0 to 255, H a multiple of twice the grid.

    Returns:
        By split (without train): Dice (n,), squared error and squared deviation from the training mean of lung area a
        cell (n,), and the same two first for the mean training mask, which looks at no image; and the ridge chosen on
        validation.
    """
    grid = int(tokens["train"].shape[1] ** 0.5)
    side = masks["train"].shape[1] // 2
    sub = side // grid

    def cells(mask: np.ndarray) -> np.ndarray:
        half = mask.reshape(len(mask), side, 2, side, 2).mean((2, 4)) / 255
        half = half.reshape(len(mask), grid, sub, grid, sub).transpose(0, 1, 3, 2, 4)
        return half.reshape(len(mask), grid * grid, sub * sub)

    target = {split: cells(mask.astype(np.float64)) for split, mask in masks.items()}
    x = tokens["train"].reshape(-1, tokens["train"].shape[2]).astype(np.float64)
    mean, std = x.mean(0), x.std(0) + 1e-6
    x = (x - mean) / std
    y = target["train"].reshape(-1, sub * sub)
    gram, cross = x.T @ x, x.T @ (y - y.mean(0))
    area, mean_mask = y.mean(), target["train"].mean(0)

    def dice(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
        both = 2 * (predicted & true).sum((1, 2))
        return both / np.maximum(predicted.sum((1, 2)) + true.sum((1, 2)), 1)

    best, chosen = None, None
    for ridge in RIDGES:
        weights = np.linalg.solve(gram + ridge * np.eye(len(gram)), cross)
        result = {}
        for split in tokens:
            if split == "train":
                continue
            p = (tokens[split].astype(np.float64) - mean) / std @ weights + y.mean(0)
            t = target[split]
            blind = np.broadcast_to(mean_mask, t.shape)
            result[split] = (
                dice(p > 0.5, t > 0.5),
                ((p.mean(2) - t.mean(2)) ** 2).sum(1),
                ((t.mean(2) - area) ** 2).sum(1),
                dice(blind > 0.5, t > 0.5),
                ((blind.mean(2) - t.mean(2)) ** 2).sum(1),
            )
        r2 = 1 - result["val"][1].sum() / result["val"][2].sum()
        if best is None or r2 > best[0]:
            best, chosen = (r2, result), ridge
    return best[1], chosen


@torch.no_grad()
def match(frozen: Frozen, images: np.ndarray, seed: int) -> np.ndarray:
    """Counts of :func:`otcxr_mm.ops.correspondence`, (n, 4): correct, index, chance, tokens."""
    state = np.random.get_state()
    np.random.seed(seed)
    crop, photo = TwoViewCrop(images.shape[1], scale=(0.25, 1.0), min_overlap=0.3, flip=0.5), PhotometricCXR()
    pairs = [photo.transform(crop.transform({"img": img})) for img in images]
    np.random.set_state(state)
    matrices = torch.from_numpy(np.stack([p["view_to_image"] for p in pairs]))
    tokens, grid = [], None
    for view in (0, 1):
        views = np.stack([p["img"][view] for p in pairs])
        feats = [frozen._batch(views[start : start + 128]) for start in range(0, len(views), 128)]
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
    for name in ("kermany", "nih"):
        task = tasks[name]
        x = {s: frozen.features(task.images[task.split == s])[0].numpy() for s in splits}
        y = {s: task.labels[task.split == s] for s in splits}
        columns = list(range(len(task.classes)))
        if name == "nih":
            # the findings that can be measured at all
            columns = np.flatnonzero(task.labels[task.split == "test"].sum(0) >= 20).tolist()
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
    task = tasks["lungs"]
    tokens = {s: frozen.features(task.images[task.split == s], dense=True)[1].numpy() for s in splits}
    result, choices["lung_ridge"] = lungs(tokens, {s: task.labels[task.split == s] for s in splits})
    for s in splits[1:]:
        parts = np.stack(result[s], 1)
        means = parts.mean(0)
        metrics[s]["lung_dice"], metrics[s]["lung_r2"] = float(means[0]), float(1 - means[1] / means[2])
        metrics[s]["lung_dice_blind"], metrics[s]["lung_r2_blind"] = float(means[3]), float(1 - means[4] / means[2])
        arrays[f"lungs/{s}/parts"] = parts
        arrays[f"lungs/{s}/patients"] = task.patients[task.split == s]
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
