"""What is fitted to frozen features; every choice is made on validation patients."""

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from torch.nn.functional import normalize

DECAYS = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0, 30.0)
RIDGES = (1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3, 1e4)


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
