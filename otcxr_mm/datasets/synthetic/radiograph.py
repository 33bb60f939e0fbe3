"""Radiographs of made-up patients, as pure functions of a seed and of numbers of patient and image."""

import cv2
import numpy as np

from .anatomy import Anatomy
from .chest import Chest
from .findings import CLASSES, draw

# drawing is done on a canvas this many times larger, then shrunk
SUPERSAMPLING = 2
# share of patients with at least one finding; what they have shows in most of their images
SICK, SHOWN = 0.7, 0.9


def expose(chest: Chest, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A radiograph of a chest, and its masks: positioning, exposure, blur, noise, at times a side marker.

    Args:
        chest: What is in the beam.
        size: Side in pixels.
        rng: Draws.

    Returns:
        Image (size, size), uint8, white where much is absorbed; lungs and heart, bool, in the same place.
    """
    side = chest.attenuation.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), rng.normal(0, 2.0), rng.uniform(0.93, 1.05))
    matrix[:, 2] += rng.normal(0, 0.015, 2) * side

    def moved(image: np.ndarray) -> np.ndarray:
        image = cv2.warpAffine(image.astype(np.float32), matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
        return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)

    attenuation = moved(chest.attenuation)
    # scatter: a haze that follows what is around
    attenuation = 0.88 * attenuation + 0.12 * cv2.GaussianBlur(attenuation, (0, 0), 0.08 * size)
    attenuation += rng.uniform(-0.12, 0.12) * np.linspace(-1, 1, size, dtype=np.float32)[:, None]
    film = 1 / (1 + np.exp(-rng.uniform(2.4, 4.0) * (attenuation - rng.uniform(0.72, 1.05))))
    low, high = np.quantile(film, (0.01, rng.uniform(0.97, 0.999)))
    film = np.clip((film - rng.uniform(0.3, 1) * low) / (high - low), 0, 1) ** rng.uniform(0.85, 1.25)
    film = cv2.GaussianBlur(film, (0, 0), max(rng.uniform(0.2, 0.7) * size / 256, 0.05))
    film += rng.normal(0, rng.uniform(0.006, 0.02), film.shape)
    grey = np.clip(film * rng.uniform(225, 255), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        text = str(rng.choice(["R", "L"]))
        x = 0.04 if text == "R" else 0.9
        place = (int(x * size), int(rng.uniform(0.08, 0.2) * size))
        cv2.putText(grey, text, place, cv2.FONT_HERSHEY_SIMPLEX, size / 350, 255, max(1, size // 128), cv2.LINE_AA)
    return grey, moved(chest.lungs > 0.5) > 0.5, moved(chest.heart > 0.5) > 0.5


def _findings(rng: np.random.Generator) -> list[str]:
    """What a patient has: nothing, or one to three findings."""
    if rng.random() >= SICK:
        return []
    return sorted(rng.choice(CLASSES, size=rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15]), replace=False).tolist())


def generate(seed: int, patient: int, image: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image of a patient, uint8 (size, size), and its masks of lungs and heart, bool; depends on nothing else."""
    anatomy = Anatomy(np.random.default_rng([seed, patient]))
    findings = image_findings(seed, patient, image)
    rng = np.random.default_rng([seed, patient, image, 1])
    return expose(draw(anatomy, findings, SUPERSAMPLING * size, rng), size, rng)


def image_findings(seed: int, patient: int, image: int) -> list[str]:
    """Names of what an image shows."""
    has = _findings(np.random.default_rng([seed, patient, 0]))
    rng = np.random.default_rng([seed, patient, image, 0])
    return [finding for finding in has if rng.random() < SHOWN]
