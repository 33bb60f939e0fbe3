"""Shape of a patient's chest: sizes, and outlines of lungs and heart.

Coordinates are in units of the image's side, x to the right and y down; the patient's right lung is on the left.
"""

import numpy as np

# silhouette of the heart and the great vessels, clockwise on the image from the upper right border: x from the midline
# to the patient's left in widths of the heart, y upwards from the diaphragm in heights
HEART_OUTLINE = np.array(
    [
        [-0.17, 1.30],  # superior vena cava
        [-0.22, 0.82],
        [-0.34, 0.58],  # right atrium
        [-0.36, 0.28],
        [-0.24, 0.00],
        [0.10, -0.08],  # on the diaphragm
        [0.44, -0.06],
        [0.66, 0.06],  # apex
        [0.62, 0.34],
        [0.50, 0.60],  # left ventricle
        [0.36, 0.80],  # left atrial appendage
        [0.30, 1.02],  # pulmonary trunk
        [0.17, 1.30],
    ]
)


class Anatomy:
    """Shape of one patient, drawn at random; lengths in units of the image's side."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.centre = rng.normal(0.5, 0.012)
        self.apex = rng.uniform(0.09, 0.15)
        self.base = rng.uniform(0.72, 0.82)
        self.half_width = rng.uniform(0.34, 0.40)
        self.mediastinum = rng.uniform(0.055, 0.08)
        self.heart_ratio = rng.uniform(0.40, 0.485)
        self.heart_height = rng.uniform(0.80, 0.98)
        self.dome = rng.uniform(0.05, 0.09)
        self.right_dome_higher = rng.uniform(0.01, 0.04)
        self.rib_spacing = rng.uniform(0.066, 0.078)
        self.rib_slope = rng.uniform(0.10, 0.20)
        self.rib_width = rng.uniform(0.016, 0.022)
        self.torso = rng.uniform(0.44, 0.50)
        self.fat = rng.uniform(0.0, 0.25)
        self.clavicle = rng.uniform(0.02, 0.06)
        self.vessels = rng.uniform(0.8, 1.2)
        self.seed = int(rng.integers(2**31))


def lung_outline(a: Anatomy, side: int, lift: float) -> np.ndarray:
    """Outline of the right (-1) or left (1) lung, whose dome stands higher by `lift`, (n, 2)."""
    base = a.base - lift - (a.right_dome_higher if side < 0 else 0.0)
    t = np.linspace(0, 1, 40)
    y = a.apex + (base + 0.05 - a.apex) * t
    # narrow at the apex, widest in the lower third
    lateral = a.half_width * (0.30 + 0.70 * np.sin(np.pi / 2 * np.clip(t * 1.25, 0, 1)) ** 0.8) * (1 - 0.04 * t**3)
    medial = a.mediastinum * (0.75 + 0.5 * t)
    outer = np.stack([a.centre + side * lateral, y], 1)
    inner = np.stack([a.centre + side * medial, y], 1)
    # the dome between the costophrenic and the cardiophrenic angle
    u = np.linspace(0, 1, 25)
    x = outer[-1, 0] + (inner[-1, 0] - outer[-1, 0]) * u
    dome = base + 0.05 - (a.dome + 0.05) * np.sin(np.pi * np.clip(u * 0.97 + 0.03, 0, 1)) ** 0.75
    apex_x = a.centre + side * (lateral[0] + medial[0]) / 2
    return np.concatenate([[[apex_x, a.apex - 0.03]], outer, np.stack([x, dome], 1), inner[::-1]])


def heart_outline(a: Anatomy, ratio: float) -> np.ndarray:
    """Outline of the heart's shadow with a cardiothoracic ratio, its width as a share of the chest's; (n, 2)."""
    width = ratio * 2 * a.half_width
    # an enlarged heart grows more in width than in height
    height = a.heart_height * (0.5 * width + 0.5 * a.heart_ratio * 2 * a.half_width)
    points = HEART_OUTLINE * (width, -height) + (a.centre, a.base)
    for _ in range(3):  # Chaikin's corner cutting
        following = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1).reshape(-1, 2)
    return points
