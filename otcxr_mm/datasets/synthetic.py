"""Procedural frontal chest radiographs: deterministic, with labels and masks, for demos and tests.

Coordinates are in units of the image's side, x to the right and y down; the patient's right lung is on the left.
"Attenuation" is in arbitrary units; :func:`expose` turns it into grey values.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ..registry import DATASETS
from .base import BaseCXRDataset
from .packed import pack_images
from .records import Records

CLASSES = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumothorax",
)

# part of the cache's name: images of different drawings are not mixed
DRAWING = 1
# drawing is done on a canvas this many times larger, then shrunk
SUPERSAMPLING = 2
# share of patients with at least one finding; what they have shows in most of their images
SICK, SHOWN = 0.7, 0.9
# shares of the patients
SPLITS = (("train", 0.70), ("val", 0.12), ("test", 0.18))

# attenuation of what lies in the beam
BODY, LUNG_AIR, MEDIASTINUM, SPINE, HEART, ABDOMEN = 0.95, -0.56, 0.24, 0.14, 0.20, 0.40
# the lungs before and behind the heart leave this share of their air in its shadow
AIR_OVER_HEART = 0.2
RIB, RIB_EDGE, CLAVICLE, SCAPULA, VESSEL = 0.15, 0.08, 0.24, 0.12, 0.12

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


@dataclass
class Anatomy:
    """Shape of one patient; lengths in units of the image's side."""

    centre: float
    apex: float
    base: float
    half_width: float
    mediastinum: float
    heart_ratio: float
    heart_height: float
    dome: float
    right_dome_higher: float
    rib_spacing: float
    rib_slope: float
    rib_width: float
    torso: float
    fat: float
    clavicle: float
    vessels: float
    seed: int


@dataclass
class Drawing:
    """Attenuation and what it shows.

    Attributes:
        attenuation: (H, W), float32.
        lungs: Mask (H, W), bool.
        heart: Mask (H, W), bool.
        findings: Names of the findings drawn.
    """

    attenuation: np.ndarray
    lungs: np.ndarray
    heart: np.ndarray
    findings: list[str] = field(default_factory=list)


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Shape of a patient."""
    return Anatomy(
        centre=rng.normal(0.5, 0.012),
        apex=rng.uniform(0.09, 0.15),
        base=rng.uniform(0.72, 0.82),
        half_width=rng.uniform(0.34, 0.40),
        mediastinum=rng.uniform(0.055, 0.08),
        heart_ratio=rng.uniform(0.40, 0.485),
        heart_height=rng.uniform(0.80, 0.98),
        dome=rng.uniform(0.05, 0.09),
        right_dome_higher=rng.uniform(0.01, 0.04),
        rib_spacing=rng.uniform(0.066, 0.078),
        rib_slope=rng.uniform(0.10, 0.20),
        rib_width=rng.uniform(0.016, 0.022),
        torso=rng.uniform(0.44, 0.50),
        fat=rng.uniform(0.0, 0.25),
        clavicle=rng.uniform(0.02, 0.06),
        vessels=rng.uniform(0.8, 1.2),
        seed=int(rng.integers(2**31)),
    )


class Canvas:
    """Float image of `size` x `size` with soft shapes in units of its side."""

    def __init__(self, size: int) -> None:
        self.size = size
        ys, xs = np.mgrid[0:size, 0:size].astype(np.float32)
        self.x, self.y = (xs + 0.5) / size, (ys + 0.5) / size

    def blur(self, image: np.ndarray, sigma: float) -> np.ndarray:
        """Gaussian blur with a sigma in units of the side."""
        return cv2.GaussianBlur(image, (0, 0), max(sigma * self.size, 0.3), borderType=cv2.BORDER_REPLICATE)

    def polygon(self, points: np.ndarray, sigma: float = 0.0) -> np.ndarray:
        """Filled polygon of (n, 2) points, its edge blurred."""
        image = np.zeros((self.size, self.size), np.float32)
        cv2.fillPoly(image, [np.round(points * self.size * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
        return self.blur(image, sigma) if sigma else image

    def line(self, points: np.ndarray, width: float, sigma: float = 0.0) -> np.ndarray:
        """Polyline through (n, 2) points."""
        image = np.zeros((self.size, self.size), np.float32)
        pixels = np.round(points * self.size * 16).astype(np.int32)
        cv2.polylines(image, [pixels], False, 1.0, max(1, round(width * self.size)), cv2.LINE_AA, 4)
        return self.blur(image, sigma) if sigma else image

    def ellipse(self, x: float, y: float, a: float, b: float, degrees: float = 0.0, edge: float = 0.1) -> np.ndarray:
        """1 inside, 0 outside, with an edge of the given share of the radius."""
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        u, v = (self.x - x) * c + (self.y - y) * s, -(self.x - x) * s + (self.y - y) * c
        r = np.sqrt((u / a) ** 2 + (v / b) ** 2)
        return np.clip((1 + edge - r) / (2 * edge), 0, 1).astype(np.float32)

    def noise(self, rng: np.random.Generator, scale: float) -> np.ndarray:
        """Smooth noise of unit standard deviation and the given correlation length."""
        n = max(2, round(1 / scale))
        small = rng.standard_normal((n + 3, n + 3)).astype(np.float32)
        image = cv2.resize(small, (self.size, self.size), interpolation=cv2.INTER_CUBIC)
        return (image - image.mean()) / (image.std() + 1e-6)


def lung_outline(a: Anatomy, side: int, lift: float = 0.0) -> np.ndarray:
    """Outline of a lung, (n, 2).

    Args:
        a: The patient.
        side: -1: the patient's right lung, on the left of the image; 1: the left lung.
        lift: By how much its dome stands higher.
    """
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
    """Outline of the heart's shadow, (n, 2).

    Args:
        a: The patient.
        ratio: Its width as a share of the chest's, the cardiothoracic ratio.
    """
    width = ratio * 2 * a.half_width
    # an enlarged heart grows more in width than in height
    height = a.heart_height * (0.5 * width + 0.5 * a.heart_ratio * 2 * a.half_width)
    points = HEART_OUTLINE * (width, -height) + (a.centre, a.base)
    for _ in range(3):  # Chaikin's corner cutting
        following = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1).reshape(-1, 2)
    return points


def _ribs(c: Canvas, a: Anatomy) -> np.ndarray:
    bones = np.zeros((c.size, c.size), np.float32)
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
            band = c.line(back, a.rib_width, 0.003)
            inner = c.line(back, a.rib_width * 0.55, 0.003)
            bones += RIB * band + RIB_EDGE * (band - inner)
            if 1 <= k <= 6:  # the front ends slope the other way and fade towards the sternum
                front = np.stack(
                    [
                        a.centre + side * (reach * (1.02 - 0.62 * u)),
                        y0 + a.rib_slope * 0.75 + 0.16 * u**1.3,
                    ],
                    1,
                )
                bones += 0.55 * RIB * c.line(front, a.rib_width * 1.15, 0.005)
    return bones


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
    image = np.zeros((c.size, c.size), np.float32)
    for side in (-1, 1):
        hilum = np.array([a.centre + side * (a.mediastinum + 0.035), a.apex + 0.52 * (a.base - a.apex)])
        image += 1.2 * VESSEL * c.ellipse(*hilum, 0.04, 0.085, 12 * side, 0.9)
        for angle in np.linspace(-75, 80, 9) + rng.normal(0, 6, 9):
            root = hilum + rng.normal(0, 1, 2) * (0.008, 0.03)
            branches = [(root, np.radians(angle), 0.010, 0.13)]
            while branches:
                start, direction, width, length = branches.pop()
                step = np.linspace(0, 1, 6)[:, None] * length
                bend = direction + np.linspace(0, rng.normal(0, 0.25), 6)[:, None]
                path = start + step * np.concatenate([side * np.cos(bend), np.sin(bend)], 1)
                image += VESSEL * a.vessels * (width / 0.010) ** 0.6 * c.line(path, width, 0.0025)
                if width > 0.004:
                    for turn in rng.normal([-0.45, 0.45], 0.15):
                        branches.append((path[-1], direction + turn, width * 0.62, length * rng.uniform(0.55, 0.8)))
    return image * lungs


def draw(a: Anatomy, findings: list[str], size: int, rng: np.random.Generator) -> Drawing:
    """Attenuation of a patient with findings.

    Args:
        a: The patient.
        findings: Names out of CLASSES.
        size: Side of the canvas in pixels.
        rng: For places, sizes and contrasts.
    """
    c = Canvas(size)
    texture = np.random.default_rng(a.seed)
    lifts = {-1: 0.0, 1: 0.0}
    atelectasis = int(rng.choice([-1, 1])) if "Atelectasis" in findings else 0
    if atelectasis:
        lifts[atelectasis] = rng.uniform(0.03, 0.06)  # loss of volume
    lung = {side: c.polygon(lung_outline(a, side, lifts[side]), 0.006) for side in (-1, 1)}

    ratio = rng.uniform(0.56, 0.66) if "Cardiomegaly" in findings else a.heart_ratio
    heart = c.polygon(heart_outline(a, ratio), 0.007)
    air = np.clip(lung[-1] + lung[1], 0, 1)
    lungs = air * (1 - heart)
    open_lungs = air * (1 - (1 - AIR_OVER_HEART) * heart)

    torso = c.polygon(
        np.array(
            [
                [a.centre - 0.10, -0.1],
                [a.centre - 0.14, 0.02],
                [a.centre - a.torso, 0.13],
                [a.centre - a.torso - 0.02, 0.5],
                [a.centre - a.torso + 0.01, 1.1],
                [a.centre + a.torso - 0.01, 1.1],
                [a.centre + a.torso + 0.02, 0.5],
                [a.centre + a.torso, 0.13],
                [a.centre + 0.14, 0.02],
                [a.centre + 0.10, -0.1],
            ]
        ),
        0.012,
    )
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

    for finding in findings:
        side = int(rng.choice([-1, 1]))
        if finding in DRAWERS:
            attenuation = DRAWERS[finding](c, a, attenuation, lung, lungs, atelectasis or side, rng)
    return Drawing(attenuation.astype(np.float32), lungs > 0.5, heart > 0.5, list(findings))


def _place(a: Anatomy, side: int, rng: np.random.Generator, low: float = 0.15, high: float = 0.85) -> tuple:
    """A point well inside a lung: its centre and the lung's half width there."""
    t = rng.uniform(low, high)
    y = a.apex + t * (a.base - a.apex)
    half = a.half_width * (0.30 + 0.70 * np.sin(np.pi / 2 * min(1.0, t * 1.25)) ** 0.8)
    return a.centre + side * (a.mediastinum + 0.04 + rng.uniform(0.15, 0.75) * (half - a.mediastinum - 0.08)), y, half


def _nodule(c, a, attenuation, lung, lungs, side, rng):
    x, y, _ = _place(a, side, rng)
    r = rng.uniform(0.018, 0.032)
    return attenuation + rng.uniform(0.28, 0.5) * c.ellipse(x, y, r, r * rng.uniform(0.8, 1), 0, 0.35)


def _mass(c, a, attenuation, lung, lungs, side, rng):
    x, y, _ = _place(a, side, rng, 0.2, 0.75)
    r = rng.uniform(0.055, 0.09)
    wobble = 1 + 0.12 * c.noise(rng, 0.05)
    blob = np.clip((1.12 - np.hypot((c.x - x) / r, (c.y - y) / (r * rng.uniform(0.8, 1.1))) * wobble) / 0.24, 0, 1)
    return attenuation + rng.uniform(0.3, 0.5) * blob * np.maximum(lung[side], 0.25)


def _effusion(c, a, attenuation, lung, lungs, side, rng):
    height = rng.uniform(0.10, 0.30)
    edge = a.centre + side * a.half_width
    # the meniscus climbs at the chest wall
    surface = a.base + 0.03 - height + 0.9 * height * np.clip(np.abs(c.x - edge) / a.half_width, 0, 1) ** 0.7
    fluid = np.clip((c.y - surface) / 0.03, 0, 1) * lung[side]
    return attenuation + rng.uniform(0.75, 1.0) * -LUNG_AIR * c.blur(fluid.astype(np.float32), 0.006)


def _pneumothorax(c, a, attenuation, lung, lungs, side, rng):
    depth = rng.uniform(0.05, 0.12)
    inner = c.blur(lung[side], 0.002)
    kernel = np.ones((3, 3), np.uint8)
    collapsed = cv2.erode((inner > 0.5).astype(np.uint8), kernel, iterations=max(1, round(depth * c.size)))
    # the lung falls away from apex and side, not from the hilum
    toward = np.clip((side * (c.x - a.centre) - a.mediastinum) / 0.1, 0, 1) * np.clip((a.base - 0.1 - c.y) / 0.2, 0, 1)
    rim = (inner - collapsed) * (toward > 0.3) * (inner > 0.5)
    rim = c.blur(rim.astype(np.float32), 0.003) * lungs
    smooth = c.blur(attenuation, 0.02)
    without = attenuation + 0.65 * rim * (smooth - attenuation) - 0.13 * rim
    outline = c.blur(np.abs(cv2.Laplacian(collapsed.astype(np.float32), cv2.CV_32F)), 0.002)
    return without + 0.10 * np.clip(outline, 0, 1) * (toward > 0.3) * lungs


def _consolidation(c, a, attenuation, lung, lungs, side, rng):
    x, y, half = _place(a, side, rng, 0.45, 0.9)
    patch = c.ellipse(x, y, rng.uniform(0.09, 0.14), rng.uniform(0.07, 0.12), rng.uniform(-30, 30), 0.45)
    patch = np.clip(patch * (1 + 0.25 * c.noise(rng, 0.03)), 0, 1) * lung[side]
    bronchi = np.zeros_like(patch)
    for angle in rng.uniform(-1.2, 1.2, 4):
        end = np.array([x + 0.12 * side * np.cos(angle), y + 0.12 * np.sin(angle)])
        bronchi += c.line(np.stack([[x - 0.06 * side, y - 0.03], end]), 0.007, 0.003)
    return attenuation + rng.uniform(0.3, 0.48) * patch * (1 - 0.45 * np.clip(bronchi, 0, 1))


def _infiltration(c, a, attenuation, lung, lungs, side, rng):
    x, y, half = _place(a, side, rng, 0.3, 0.85)
    region = c.ellipse(x, y, 0.20, 0.24, 0, 0.6) * lung[side]
    patchy = np.clip(0.35 + 0.55 * c.noise(rng, 0.025) + 0.3 * c.noise(rng, 0.06), 0, 1.6)
    return attenuation + rng.uniform(0.13, 0.22) * region * patchy


def _atelectasis(c, a, attenuation, lung, lungs, side, rng):
    for _ in range(rng.integers(1, 4)):
        y = a.base - rng.uniform(0.06, 0.22)
        x = a.centre + side * rng.uniform(0.12, 0.26)
        tilt, half = np.radians(rng.uniform(-20, 20)), rng.uniform(0.06, 0.12)
        ends = np.array(
            [[x - half * np.cos(tilt), y - half * np.sin(tilt)], [x + half * np.cos(tilt), y + half * np.sin(tilt)]]
        )
        attenuation = attenuation + rng.uniform(0.3, 0.45) * c.line(ends, rng.uniform(0.012, 0.022), 0.005) * lung[side]
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


def expose(drawing: Drawing, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A radiograph of a drawing, and its masks: positioning, exposure, blur, noise, at times a side marker.

    Args:
        drawing: What is in the beam.
        size: Side in pixels.
        rng: Draws.

    Returns:
        Image (size, size), uint8, white where much is absorbed; lungs and heart, bool, in the same place.
    """
    side = drawing.attenuation.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), rng.normal(0, 2.0), rng.uniform(0.93, 1.05))
    matrix[:, 2] += rng.normal(0, 0.015, 2) * side

    def moved(image: np.ndarray, border: float = 0.0) -> np.ndarray:
        image = cv2.warpAffine(image.astype(np.float32), matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
        return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)

    attenuation = moved(drawing.attenuation)
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
    return grey, moved(drawing.lungs) > 0.5, moved(drawing.heart) > 0.5


def _findings(rng: np.random.Generator) -> list[str]:
    """What a patient has: nothing, or one to three findings."""
    if rng.random() >= SICK:
        return []
    return sorted(rng.choice(CLASSES, size=rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15]), replace=False).tolist())


def generate(seed: int, patient: int, image: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image of a patient, a pure function of its arguments.

    Args:
        seed: Of the data set.
        patient: From 0.
        image: From 0.
        size: Side in pixels.

    Returns:
        Image uint8 (size, size); masks of lungs and heart, bool.
    """
    anatomy = draw_anatomy(np.random.default_rng([seed, patient]))
    findings = image_findings(seed, patient, image)
    rng = np.random.default_rng([seed, patient, image, 1])
    return expose(draw(anatomy, findings, SUPERSAMPLING * size, rng), size, rng)


def image_findings(seed: int, patient: int, image: int) -> list[str]:
    """Names of what an image shows."""
    has = _findings(np.random.default_rng([seed, patient, 0]))
    rng = np.random.default_rng([seed, patient, image, 0])
    return [finding for finding in has if rng.random() < SHOWN]


def _drawn(seed: int, size: int, path: str) -> np.ndarray:
    """An image and its masks above each other, (3 size, size)."""
    patient, image = Path(path).stem.split("_")
    grey, lungs, heart = generate(seed, int(patient), int(image), size)
    return np.concatenate([grey, lungs.astype(np.uint8), heart.astype(np.uint8)])


@DATASETS.register_module()
class SyntheticCXR(BaseCXRDataset):
    """Procedural frontal radiographs of made-up patients, with labels and with masks of lungs and heart.

    Not a substitute for radiographs: they show that an installation works and how a method behaves. Images are drawn at
    first use, about 40 a second and core at 128 pixels, and packed in a folder of their own under `data_root`.

    Items hold, besides what :class:`BaseCXRDataset` says, `gt_masks`, uint8 (2, H, W): lungs, heart.

    Args:
        data_root: Folder for the packed images, made if needed.
        patients: Number of patients over all splits; each has 1 to 3 images.
        size: Side of the images in pixels.
        seed: Another seed, other patients.
        jobs: Threads that draw; 0: one a core.
        **kwargs: See :class:`BaseCXRDataset`.

    Raises:
        ValueError: For less than 10 patients or 32 pixels.
    """

    METAINFO = {"classes": CLASSES}

    def __init__(
        self,
        data_root: str = "data/synthetic",
        patients: int = 900,
        size: int = 128,
        seed: int = 0,
        jobs: int = 0,
        **kwargs: object,
    ) -> None:
        if patients < 10 or size < 32:
            raise ValueError(f"SyntheticCXR: at least 10 patients and 32 pixels, got {patients} and {size}")
        self.patients, self.size, self.seed, self.jobs = patients, size, seed, jobs
        root = Path(data_root).expanduser()
        root.mkdir(parents=True, exist_ok=True)
        folder = root / f"drawing{DRAWING}_seed{seed}_patients{patients}_size{size}"
        super().__init__(data_root, packed=str(folder), **kwargs)

    @property
    def collection(self) -> str:
        """Patients of two seeds have nothing in common but their numbers."""
        return f"synthetic radiographs of seed {self.seed}"

    def load_records(self) -> Records:
        """Lists the patients, and draws their images unless that is done."""
        paths, patients, splits, labels = [], [], [], []
        ends = np.cumsum([share for _, share in SPLITS]) * self.patients
        for patient in range(self.patients):
            split = SPLITS[int(np.searchsorted(ends, patient, "right").clip(max=len(SPLITS) - 1))][0]
            for image in range(int(np.random.default_rng([self.seed, patient, 2]).integers(1, 4))):
                paths.append(f"{patient:05d}_{image:03d}.png")
                patients.append(f"{patient:05d}")
                splits.append(split)
                shown = image_findings(self.seed, patient, image)
                labels.append([name in shown for name in CLASSES])
        read = partial(_drawn, self.seed, self.size)
        pack_images("", paths, self._packed_folder, (3 * self.size, self.size), read, self.jobs)
        blank = np.full(len(paths), "")
        return Records(np.array(paths), np.array(patients), blank, np.array(splits), np.array(labels, dtype=np.float32))

    def get_data_info(self, idx: int) -> dict:
        """The record of an image as the pipeline's input, with `img` and `gt_masks` (lungs, heart).

        Args:
            idx: Index of the image, within this split; negative ones count from the end.
        """
        info = super().get_data_info(idx)
        info["img"], info["gt_masks"] = info["img"][: self.size], info["img"][self.size :].reshape(2, self.size, -1)
        return info
