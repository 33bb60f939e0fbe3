"""The labelled sets that a frozen backbone is evaluated on."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from otcxr_mm.datasets import NIHChestXray14, PackedImages, pack_images

NIH_LABELS = list(NIHChestXray14.METAINFO["classes"])


@dataclass
class Task:
    """A labelled set: square images, labels (n, C) or masks, patients, splits."""

    images: np.ndarray
    labels: np.ndarray
    patients: np.ndarray
    split: np.ndarray
    classes: list[str]


def _rows(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


def _packed(root: Path, paths: list[str], folder: Path, size: int) -> np.ndarray:
    pack_images(root, paths, folder, (size, size))
    images = PackedImages(folder)
    return np.stack([images[row] for row in range(len(images))])


def load_tasks(data: Path, cache: Path, size: int) -> dict[str, Task]:
    """Loads the four labelled sets from the cache, which it fills if needed.

    Args:
        data: Folder with kermany/, nih/, nih_followup/, kermany_lungmask/.
        cache: Folder for packed images.
        size: Side of the images in pixels.

    Returns:
        kermany (normal, bacteria, virus), nih and nih_followup (14 findings), lungs (masks (n, size, size) in 0 to
        255, the share of lung in each pixel).
    """
    tasks = {}
    rows = _rows(data / "kermany" / "labels.csv")
    classes = ["normal", "bacteria", "virus"]
    tasks["kermany"] = Task(
        _packed(data / "kermany", [f"images/{r['filename']}" for r in rows], cache / f"kermany_{size}", size),
        np.array([[r["subtype"] == c for c in classes] for r in rows]),
        np.array([r["patient"] for r in rows]),
        np.array([r["split"] for r in rows]),
        classes,
    )
    for name in ("nih", "nih_followup"):
        split = {r["Image Index"]: r["split"] for r in _rows(data / name / "patient_split.csv")}
        rows = [r for r in _rows(data / name / "Data_Entry_2017_v2020.csv") if r["Image Index"] in split]
        tasks[name] = Task(
            _packed(data / name, [f"images/{r['Image Index']}" for r in rows], cache / f"{name}_{size}", size),
            np.array([[c in r["Finding Labels"].split("|") for c in NIH_LABELS] for r in rows]),
            np.array([r["Patient ID"] for r in rows]),
            np.array([split[r["Image Index"]] for r in rows]),
            NIH_LABELS,
        )
    folder = data / "kermany_lungmask"
    rows = _rows(folder / "labels.csv")
    names = [r["filename"] for r in rows]
    tasks["lungs"] = Task(
        _packed(folder, [f"images/{n}" for n in names], cache / f"lungs_{size}", size),
        _packed(folder, [f"lung_masks/{Path(n).stem}.png" for n in names], cache / f"lung_masks_{size}", size),
        np.array([r["patient"] for r in rows]),
        np.array([r["split"] for r in rows]),
        ["lung"],
    )
    return tasks
