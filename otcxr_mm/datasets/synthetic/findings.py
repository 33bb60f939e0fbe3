"""What diseases change in a drawn chest; each function returns the new attenuation."""

import cv2
import numpy as np

from .anatomy import Anatomy
from .chest import LUNG_AIR, Chest


def _place(
    a: Anatomy, side: int, rng: np.random.Generator, low: float = 0.15, high: float = 0.85
) -> tuple[float, float]:
    """A point well inside a lung."""
    t = rng.uniform(low, high)
    y = a.apex + t * (a.base - a.apex)
    half = a.half_width * (0.30 + 0.70 * np.sin(np.pi / 2 * min(1.0, t * 1.25)) ** 0.8)
    return a.centre + side * (a.mediastinum + 0.04 + rng.uniform(0.15, 0.75) * (half - a.mediastinum - 0.08)), y


def _nodule(chest: Chest, side: int, rng: np.random.Generator) -> np.ndarray:
    c = chest.canvas
    x, y = _place(chest.anatomy, side, rng)
    r = rng.uniform(0.018, 0.032)
    return chest.attenuation + rng.uniform(0.28, 0.5) * c.ellipse(x, y, r, r * rng.uniform(0.8, 1), 0, 0.35)


def _mass(chest: Chest, side: int, rng: np.random.Generator) -> np.ndarray:
    c = chest.canvas
    x, y = _place(chest.anatomy, side, rng, 0.2, 0.75)
    r = rng.uniform(0.055, 0.09)
    wobble = 1 + 0.12 * c.noise(rng, 0.05)
    blob = np.clip((1.12 - np.hypot((c.x - x) / r, (c.y - y) / (r * rng.uniform(0.8, 1.1))) * wobble) / 0.24, 0, 1)
    return chest.attenuation + rng.uniform(0.3, 0.5) * blob * np.maximum(chest.lung[side], 0.25)


def _effusion(chest: Chest, side: int, rng: np.random.Generator) -> np.ndarray:
    c, a = chest.canvas, chest.anatomy
    height = rng.uniform(0.10, 0.30)
    edge = a.centre + side * a.half_width
    # the meniscus climbs at the chest wall
    surface = a.base + 0.03 - height + 0.9 * height * np.clip(np.abs(c.x - edge) / a.half_width, 0, 1) ** 0.7
    fluid = np.clip((c.y - surface) / 0.03, 0, 1) * chest.lung[side]
    return chest.attenuation + rng.uniform(0.75, 1.0) * -LUNG_AIR * c.blur(fluid.astype(np.float32), 0.006)


def _pneumothorax(chest: Chest, side: int, rng: np.random.Generator) -> np.ndarray:
    c, a = chest.canvas, chest.anatomy
    depth = rng.uniform(0.05, 0.12)
    inner = c.blur(chest.lung[side], 0.002)
    kernel = np.ones((3, 3), np.uint8)
    collapsed = cv2.erode((inner > 0.5).astype(np.uint8), kernel, iterations=max(1, round(depth * c.size)))
    # the lung falls away from apex and side, not from the hilum
    toward = np.clip((side * (c.x - a.centre) - a.mediastinum) / 0.1, 0, 1) * np.clip((a.base - 0.1 - c.y) / 0.2, 0, 1)
    rim = (inner - collapsed) * (toward > 0.3) * (inner > 0.5)
    rim = c.blur(rim.astype(np.float32), 0.003) * chest.lungs
    smooth = c.blur(chest.attenuation, 0.02)
    without = chest.attenuation + 0.65 * rim * (smooth - chest.attenuation) - 0.13 * rim
    outline = c.blur(np.abs(cv2.Laplacian(collapsed.astype(np.float32), cv2.CV_32F)), 0.002)
    return without + 0.10 * np.clip(outline, 0, 1) * (toward > 0.3) * chest.lungs


def _consolidation(chest: Chest, side: int, rng: np.random.Generator) -> np.ndarray:
    c = chest.canvas
    x, y = _place(chest.anatomy, side, rng, 0.45, 0.9)
    patch = c.ellipse(x, y, rng.uniform(0.09, 0.14), rng.uniform(0.07, 0.12), rng.uniform(-30, 30), 0.45)
    patch = np.clip(patch * (1 + 0.25 * c.noise(rng, 0.03)), 0, 1) * chest.lung[side]
    bronchi = np.zeros_like(patch)
    for angle in rng.uniform(-1.2, 1.2, 4):
        end = np.array([x + 0.12 * side * np.cos(angle), y + 0.12 * np.sin(angle)])
        bronchi += c.line(np.stack([[x - 0.06 * side, y - 0.03], end]), 0.007, 0.003)
    return chest.attenuation + rng.uniform(0.3, 0.48) * patch * (1 - 0.45 * np.clip(bronchi, 0, 1))


def _infiltration(chest: Chest, side: int, rng: np.random.Generator) -> np.ndarray:
    c = chest.canvas
    x, y = _place(chest.anatomy, side, rng, 0.3, 0.85)
    region = c.ellipse(x, y, 0.20, 0.24, 0, 0.6) * chest.lung[side]
    patchy = np.clip(0.35 + 0.55 * c.noise(rng, 0.025) + 0.3 * c.noise(rng, 0.06), 0, 1.6)
    return chest.attenuation + rng.uniform(0.13, 0.22) * region * patchy


def _atelectasis(chest: Chest, side: int, rng: np.random.Generator) -> np.ndarray:
    c, a = chest.canvas, chest.anatomy
    attenuation = chest.attenuation
    for _ in range(rng.integers(1, 4)):
        y = a.base - rng.uniform(0.06, 0.22)
        x = a.centre + side * rng.uniform(0.12, 0.26)
        tilt, half = np.radians(rng.uniform(-20, 20)), rng.uniform(0.06, 0.12)
        ends = np.array(
            [[x - half * np.cos(tilt), y - half * np.sin(tilt)], [x + half * np.cos(tilt), y + half * np.sin(tilt)]]
        )
        strength, line = rng.uniform(0.3, 0.45), c.line(ends, rng.uniform(0.012, 0.022), 0.005)
        attenuation = attenuation + strength * line * chest.lung[side]
    return attenuation


DRAWERS = {
    "Atelectasis": _atelectasis,
    "Consolidation": _consolidation,
    "Effusion": _effusion,
    "Infiltration": _infiltration,
    "Mass": _mass,
    "Nodule": _nodule,
    "Pneumothorax": _pneumothorax,
}
# findings in alphabetical order; cardiomegaly is drawn with the chest
CLASSES = tuple(sorted([*DRAWERS, "Cardiomegaly"]))


def draw(anatomy: Anatomy, findings: list[str], size: int, rng: np.random.Generator) -> Chest:
    """The chest of a patient with findings; `rng` draws their places, sizes and contrasts."""
    chest = Chest(anatomy, findings, size, rng)
    for finding in findings:
        side = int(rng.choice([-1, 1]))
        if finding in DRAWERS:
            chest.attenuation = DRAWERS[finding](chest, chest.atelectasis or side, rng)
    return chest
