"""What is fitted to frozen features; every choice is made on validation patients."""

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from torch import nn
from torch.nn.functional import normalize

from otcxr_mm.engine.loops.linear_problem import LinearProblem

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DECAYS = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0, 30.0)
RIDGES = tuple(10 ** (power / 2) for power in range(1, 10))


def macro_auroc(labels: np.ndarray, scores: np.ndarray, columns: list[int]) -> float:
    """Mean AUROC over columns that have both classes."""
    return float(np.mean([roc_auc_score(labels[:, c], scores[:, c]) for c in columns if 0 < labels[:, c].mean() < 1]))


def _sweep(x: np.ndarray, y: np.ndarray, others: list[np.ndarray]) -> Iterator[tuple[float, list[np.ndarray]]]:
    """Logistic regression on standardised features, for each weight decay from large to small: scores of others."""
    mean, std = x.mean(0), x.std(0) + 1e-6
    x, *others = ((part - mean) / std for part in (x, *others))
    x, y, *others = (torch.from_numpy(a).to(DEVICE) for a in (x, y.astype(np.float32), *others))
    problem = LinearProblem(x, y, nn.BCEWithLogitsLoss())
    for decay in sorted(DECAYS, reverse=True):
        # with three times as many iterations, in float64, AUROC differs by less than 0.0005
        weight, bias, _ = problem.minimise(decay, 100)
        yield decay, [(o @ weight.T + bias).cpu().numpy() for o in others]


def probe(x: dict[str, np.ndarray], y: dict[str, np.ndarray], columns: list[int]) -> tuple[dict, float]:
    """Logistic regression on standardised features, with the weight decay of the best validation macro AUROC.

    Args:
        x: Features by split, (n, C).
        y: Labels by split, (n, classes).
        columns: Classes.

    Returns:
        Scores by split (without train), and the decay.
    """
    splits = [split for split in x if split != "train"]
    best, chosen = None, None
    for decay, found in _sweep(x["train"], y["train"][:, columns], [x[split] for split in splits]):
        scores = {split: np.zeros(y[split].shape) for split in splits}
        for split, part in zip(splits, found, strict=True):
            scores[split][:, columns] = part
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
        for decay, (found,) in _sweep(x[train], y[train][:, columns], [x[held_out]]):
            scores[decay][np.ix_(held_out, columns)] = found
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


def mask_cells(masks: np.ndarray, grid: int) -> np.ndarray:
    """Masks (n, H, H) in 0 to 255 at half their resolution, by cell of a grid: (n, grid^2, pixels of a cell)."""
    side = masks.shape[1] // 2
    sub = side // grid
    half = masks.astype(np.float64).reshape(len(masks), side, 2, side, 2).mean((2, 4)) / 255
    half = half.reshape(len(masks), grid, sub, grid, sub).transpose(0, 1, 3, 2, 4)
    return half.reshape(len(masks), grid * grid, sub * sub)


def dice(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Dice of boolean cells (n, N, pixels), (n,)."""
    both = 2 * (predicted & true).sum((1, 2))
    return both / np.maximum(predicted.sum((1, 2)) + true.sum((1, 2)), 1)


def carried(tokens: np.ndarray, masks: np.ndarray, patients: np.ndarray, partners: int = 5) -> np.ndarray:
    """Carries the lungs of one image to another: each token takes the cell of its nearest token.

    Args:
        tokens: (n, h w, C).
        masks: (n, H, H) in 0 to 255.
        patients: (n,); an image is never carried to another of its patient.
        partners: Images that are carried to each image; the same ones for every method.

    Returns:
        Dice against the image's own mask, (n, 2), mean over partners: by nearest tokens, and by tokens of the same
        index, which looks at no image.
    """
    rng = np.random.default_rng(0)
    cells = mask_cells(masks, int(tokens.shape[1] ** 0.5))
    unit = normalize(torch.from_numpy(tokens).to(DEVICE), dim=-1)
    found = np.zeros((len(tokens), 2))
    order = np.arange(len(tokens))
    for _ in range(partners):
        source = np.array([rng.choice(order[patients != patients[row]]) for row in order])
        nearest = (unit @ unit[source].mT).argmax(2).cpu().numpy()
        taken = np.take_along_axis(cells[source], nearest[:, :, None], 1)
        for column, guess in enumerate((taken, cells[source])):
            found[:, column] += dice(guess > 0.5, cells > 0.5) / partners
    return found


def lungs(tokens: dict[str, np.ndarray], masks: dict[str, np.ndarray]) -> tuple[dict, float]:
    """Ridge regression from each token alone to the lung in its cell, at half the image's resolution.

    All channels are divided by one number: divided by its own deviation, a channel that is nearly constant in training
    can outweigh all others in a single test image.

    Args:
        tokens: Features by split, (n, h w, C).
        masks: Share of lung by split, (n, H, H) in 0 to 255, H a multiple of twice the grid.

    Returns:
        By split (without train): Dice (n,), squared error and squared deviation from the training mean of lung area a
        cell (n,), and the same two first for the mean training mask, which looks at no image; and the ridge chosen on
        validation.
    """
    grid = int(tokens["train"].shape[1] ** 0.5)
    target = {split: mask_cells(mask, grid) for split, mask in masks.items()}

    def float64(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(DEVICE, torch.float64)

    x = float64(tokens["train"]).flatten(0, 1)
    mean = x.mean(0)
    scale = (x - mean).std(correction=0)
    x = (x - mean) / scale
    y = float64(target["train"]).flatten(0, 1)
    sizes, directions = torch.linalg.eigh(x.T @ x)
    cross = directions.T @ (x.T @ (y - y.mean(0)))
    area, mean_mask = y.mean().item(), target["train"].mean(0)

    best, chosen = None, None
    for ridge in RIDGES:
        weights = directions @ (cross / (sizes + ridge)[:, None])
        result = {}
        for split in tokens:
            if split == "train":
                continue
            p = ((float64(tokens[split]) - mean) / scale @ weights + y.mean(0)).cpu().numpy()
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
