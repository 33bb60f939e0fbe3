"""Random masks."""

import numpy as np

H, W = 37, 52


def blobs(rng, k=2):
    """Masks of some connected areas, some of which touch the image's border, (k, H, W)."""
    y, x = np.mgrid[:H, :W]
    out = np.zeros((k, H, W), bool)
    for mask in out:
        for _ in range(3):
            cy, cx, r = rng.uniform(0, H), rng.uniform(0, W), rng.uniform(1, 15)
            mask |= (y - cy) ** 2 + (x - cx) ** 2 < r**2
    return out
