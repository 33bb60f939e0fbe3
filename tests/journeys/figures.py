"""Figures of a test in two ways: those that the command left, and those of a plain script."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from .planted import Planted

EXACT = 1e-6


def predictions(work_dir: Path, planted: Planted) -> tuple[dict[str, np.ndarray], list[str]]:
    """What a test wrote, and the stems of its images, which are those of the test split, each once."""
    arrays = dict(np.load(work_dir / "predictions.npz"))
    images = [Path(image).stem for image in arrays["image"].tolist()]
    assert sorted(images) == sorted(planted.test), "these are not the images of the test split"
    codes = {(planted.patients[image], code) for image, code in zip(images, arrays["patient"].tolist(), strict=True)}
    if any(planted.patients[image] for image in images):
        assert len(codes) == len(dict(codes)) == len({code for _, code in codes}), "images of different patients"
    return arrays, images


def by_hand(work_dir: Path, planted: Planted) -> tuple[list[str], np.ndarray]:
    """AUROC of every column of scores (first axis) against the user's own labels of every class (second axis)."""
    arrays, images = predictions(work_dir, planted)
    table, classes = planted.labels, arrays["classes"].tolist()
    labels = np.array([[table[image][name] for name in classes] for image in images])
    return classes, np.array([[roc_auc_score(y, scores) for y in labels.T] for scores in arrays["scores"].T])


def recorded(work_dir: Path, measure: str) -> dict[str, float]:
    """A measure of each class in results.json: 'multilabel/auroc' or 'mask/dice'."""
    metrics = json.loads((work_dir / "results.json").read_text())["metrics"]
    found = {key.removeprefix(f"{measure}/"): value for key, value in metrics.items() if key.startswith(f"{measure}/")}
    assert metrics[measure] == pytest.approx(np.mean(list(found.values())), abs=EXACT)
    return found


def assert_learnt(work_dir: Path, planted: Planted, at_least: float = 0.95) -> dict[str, float]:
    """Every class is found in its own column and in no other, and all figures agree. Returns them."""
    classes, auroc = by_hand(work_dir, planted)
    own, others = np.diag(auroc), auroc[~np.eye(len(auroc), dtype=bool)]
    assert dict(zip(classes, own, strict=True)) == pytest.approx(recorded(work_dir, "multilabel/auroc"), abs=EXACT)
    assert (own >= at_least).all(), dict(zip(classes, own.round(3).tolist(), strict=True))
    assert others.max(initial=0) < 0.8, "a class is found in the column of another"
    return dict(zip(classes, own.tolist(), strict=True))


def assert_segmented(work_dir: Path, planted: Planted, at_least: float = 0.9) -> dict[str, float]:
    """Every structure is found where its own mask is, and all figures agree.

    Returns:
        The mean Dice of each class over the images that have it.
    """
    arrays, images = predictions(work_dir, planted)
    table, classes = planted.labels, arrays["classes"].tolist()
    areas = np.array([[table[image][name] for name in classes] for image in images])
    np.testing.assert_array_equal(arrays["pixels"], areas, "these are not the masks of the user's table")
    dice = arrays["dice"]
    assert dict(zip(classes, dice.mean(0), strict=True)) == pytest.approx(recorded(work_dir, "mask/dice"), abs=EXACT)
    present = {name: float(dice[areas[:, k] > 0, k].mean()) for k, name in enumerate(classes)}
    rows = json.loads((work_dir / "results.json").read_text())["details"]["classes"]
    assert present == pytest.approx({row["name"]: row["dice_present"]["mean"] for row in rows}, abs=EXACT)
    assert min(present.values()) >= at_least, present
    return present
