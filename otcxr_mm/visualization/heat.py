"""Heat maps over a radiograph."""

from collections.abc import Mapping

import cv2
import numpy as np

from .panels import grey_panel, tinted

STRENGTH = 0.55  # opacity of the warmest place
BAND = 24  # for the text


def heat_png(image: np.ndarray, maps: Mapping[str, np.ndarray]) -> bytes:
    """A PNG with the image, and beside it a panel for each heat map, whose text is above it.

    Each map is scaled to its own maximum: colours compare places, not panels. What is 0 stays grey.

    Args:
        image: As the network sees it, (H, W) on the scale 0 to 255.
        maps: (h, w), at least 0, over the same area, by what to write above them.
    """
    base = grey_panel(image)
    size = base.shape[1::-1]
    panels = [_panel(base, "image")]
    for text, heat in maps.items():
        heat = cv2.resize(heat.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        heat = heat / max(float(heat.max()), 1e-12)
        colours = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
        panels.append(_panel(tinted(base, colours, (STRENGTH * heat)[..., None]), text))
    return cv2.imencode(".png", np.hstack(panels))[1].tobytes()


def _panel(picture: np.ndarray, text: str) -> np.ndarray:
    band = np.zeros((BAND, picture.shape[1], 3), np.uint8)
    cv2.putText(band, text, (6, BAND - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([band, picture])
