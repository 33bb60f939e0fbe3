"""What lies in the beam of a chest radiograph, without findings.

"Attenuation" is in arbitrary units; the exposure turns it into grey values.
"""

from collections.abc import Collection

import numpy as np

from .anatomy import Anatomy, heart_outline, lung_outline
from .canvas import Canvas

# attenuation of what lies in the beam
BODY, LUNG_AIR, MEDIASTINUM, SPINE, HEART, ABDOMEN = 0.95, -0.56, 0.24, 0.14, 0.20, 0.40
# the lungs before and behind the heart leave this share of their air in its shadow
AIR_OVER_HEART = 0.2
RIB, RIB_EDGE, CLAVICLE, SCAPULA, VESSEL = 0.15, 0.08, 0.24, 0.12, 0.12


class Chest:
    """A patient's chest in one image.

    Attributes:
        canvas: What it is drawn on.
        anatomy: The patient.
        attenuation: (H, W), float32.
        lung: Soft masks (H, W) of the right (-1) and the left (1) lung, with what the heart hides.
        lungs: Soft mask of both without the heart.
        heart: Soft mask of the heart.
        atelectasis: Side of the lung that has lost volume, -1 or 1; 0 for none.
    """

    def __init__(self, a: Anatomy, findings: Collection[str], size: int, rng: np.random.Generator) -> None:
        """Draws the chest; of `findings`, only those that change the outlines count here."""
        self.anatomy, self.canvas = a, Canvas(size)
        c = self.canvas
        texture = np.random.default_rng(a.seed)
        lifts = {-1: 0.0, 1: 0.0}
        self.atelectasis = int(rng.choice([-1, 1])) if "Atelectasis" in findings else 0
        if self.atelectasis:
            lifts[self.atelectasis] = rng.uniform(0.03, 0.06)  # loss of volume
        lung = self.lung = {side: c.polygon(lung_outline(a, side, lifts[side]), 0.006) for side in (-1, 1)}

        ratio = rng.uniform(0.56, 0.66) if "Cardiomegaly" in findings else a.heart_ratio
        heart = self.heart = c.polygon(heart_outline(a, ratio), 0.007)
        air = np.clip(lung[-1] + lung[1], 0, 1)
        lungs = self.lungs = air * (1 - heart)
        open_lungs = air * (1 - (1 - AIR_OVER_HEART) * heart)

        # the right half of the outline, from the neck down
        half = [(0.10, -0.1), (0.14, 0.02), (a.torso, 0.13), (a.torso + 0.02, 0.5), (a.torso - 0.01, 1.1)]
        outline = [(a.centre - x, y) for x, y in half] + [(a.centre + x, y) for x, y in half[::-1]]
        torso = c.polygon(np.array(outline), 0.012)
        depth = 1 - 0.30 * np.clip(np.abs(c.x - a.centre) / a.torso, 0, 1) ** 3
        attenuation = BODY * torso * depth * (1 + a.fat * (0.35 + 0.5 * c.y))
        middle = np.clip(1.6 - np.abs(c.x - a.centre) / a.mediastinum, 0, 1)
        descent = np.clip((c.y - a.apex + 0.1) / 0.35, 0.25, 1)  # little of it in the neck
        attenuation += MEDIASTINUM * c.blur((middle * descent).astype(np.float32), 0.015) * torso
        knob = c.ellipse(a.centre + a.mediastinum + 0.01, a.apex + 0.20, 0.032, 0.038, 0, 0.25)
        trachea = c.line(np.array([[a.centre, -0.05], [a.centre + 0.004, a.apex + 0.22]]), 0.032, 0.006)
        attenuation += 0.6 * HEART * knob - 0.16 * trachea
        vertebrae = 0.5 + 0.5 * np.cos(2 * np.pi * c.y / 0.062)
        attenuation += SPINE * c.ellipse(a.centre, 0.5, 0.038, 2.0, 0, 0.15) * (0.75 + 0.25 * vertebrae)
        attenuation += HEART * heart * (0.35 + 0.65 * air)
        below = np.clip((c.y - (a.base - 0.22)) / 0.28, 0, 1) ** 1.5
        attenuation += ABDOMEN * below * c.blur(1 - air, 0.004) * torso
        # gas in the stomach, under the left dome
        bubble = c.ellipse(a.centre + 0.19, a.base + 0.075, 0.06, 0.03, 0, 0.3)
        attenuation -= texture.uniform(0, 0.35) * bubble
        attenuation += LUNG_AIR * open_lungs
        attenuation += _vessels(c, a, texture, open_lungs)
        # what lies under the diaphragm drowns the lower ribs
        attenuation += (_ribs(c, a) * (1 - 0.6 * below) + _shoulders(c, a)) * torso
        attenuation += 0.018 * c.noise(texture, 0.02) * lungs + 0.03 * c.noise(texture, 0.15) * torso
        self.attenuation = attenuation


def _ribs(c: Canvas, a: Anatomy) -> np.ndarray:
    backs, fronts = [], []
    u = np.linspace(0, 1, 30)
    for k in range(10):
        y0 = a.apex - 0.015 + a.rib_spacing * k
        reach = a.half_width * (0.52 + 0.5 * np.sin(np.pi / 2 * min(1.0, 0.22 + 0.16 * k)))
        for side in (-1, 1):
            back = np.stack(
                [
                    a.centre + side * (0.03 + reach * u),
                    y0 - 0.03 * np.sin(np.pi * np.clip(1.5 * u, 0, 1)) + a.rib_slope * u**2.2 * (0.6 + 0.05 * k),
                ],
                1,
            )
            # the edge absorbs more
            backs += [(back, a.rib_width, RIB + RIB_EDGE), (back, a.rib_width * 0.55, -RIB_EDGE)]
            if 1 <= k <= 6:  # the front ends slope the other way and fade towards the sternum
                front = np.stack(
                    [
                        a.centre + side * (reach * (1.02 - 0.62 * u)),
                        y0 + a.rib_slope * 0.75 + 0.16 * u**1.3,
                    ],
                    1,
                )
                fronts.append((front, a.rib_width * 1.15, 0.55 * RIB))
    return c.lines(backs, 0.003) + c.lines(fronts, 0.005)


def _shoulders(c: Canvas, a: Anatomy) -> np.ndarray:
    bones = np.zeros((c.size, c.size), np.float32)
    u = np.linspace(0, 1, 20)
    for side in (-1, 1):
        x = a.centre + side * (0.035 + 0.36 * u)
        y = a.apex + 0.045 - a.clavicle * np.sin(np.pi * u * 0.9) - 0.03 * u
        bones += CLAVICLE * c.line(np.stack([x, y], 1), 0.024, 0.004)
        blade = np.array([[0.30, 0.10], [0.42, 0.13], [0.40, 0.34], [0.33, 0.30]])
        blade = np.stack([a.centre + side * blade[:, 0], a.apex + blade[:, 1] - 0.05], 1)
        bones += SCAPULA * c.polygon(blade, 0.008)
    return bones


def _vessels(c: Canvas, a: Anatomy, rng: np.random.Generator, lungs: np.ndarray) -> np.ndarray:
    """Branching lines from both hila, thinner and fainter outwards."""
    hila, strokes, u = [], [], np.linspace(0, 1, 6)
    for side in (-1, 1):
        hilum = np.array([a.centre + side * (a.mediastinum + 0.035), a.apex + 0.52 * (a.base - a.apex)])
        hila.append(c.ellipse(*hilum, 0.04, 0.085, 12 * side, 0.9))
        for angle in np.linspace(-75, 80, 9) + rng.normal(0, 6, 9):
            root = hilum + rng.normal(0, 1, 2) * (0.008, 0.03)
            branches = [(root, np.radians(angle), 0.010, 0.13)]
            while branches:
                start, direction, width, length = branches.pop()
                bend = direction + rng.normal(0, 0.25) * u
                path = start + length * u[:, None] * np.stack([side * np.cos(bend), np.sin(bend)], 1)
                strokes.append((path, width, VESSEL * a.vessels * (width / 0.010) ** 0.6))
                if width > 0.004:
                    for turn in rng.normal([-0.45, 0.45], 0.15):
                        branches.append((path[-1], direction + turn, width * 0.62, length * rng.uniform(0.55, 0.8)))
    return (1.2 * VESSEL * sum(hila) + c.lines(strokes, 0.0025)) * lungs
