"""Draws a contact sheet of synthetic radiographs: tools/visualization/synthetic_sheet.py [--out FILE] [--seed N]."""

import argparse
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from otcxr_mm.datasets.synthetic.anatomy import Anatomy
from otcxr_mm.datasets.synthetic.findings import CLASSES, draw
from otcxr_mm.datasets.synthetic.radiograph import expose, generate, image_findings

SIZE, COLUMNS = 192, 8


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/synthetic.jpg"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    figure, axes = plt.subplots(4, COLUMNS, figsize=(1.5 * COLUMNS, 6.9))
    for k, axis in enumerate(axes[:2].flat):
        axis.imshow(generate(args.seed, k, 0, SIZE)[0], cmap="gray", vmin=0, vmax=255)
        axis.set_title(", ".join(image_findings(args.seed, k, 0)) or "no finding", fontsize=6)
    # one patient, one finding at a time, the same exposure
    for line, patient in zip(axes[2:], (1, 2), strict=True):
        for axis, finding in zip(line, CLASSES, strict=True):
            anatomy = Anatomy(np.random.default_rng([args.seed, patient]))
            chest = draw(anatomy, [finding], 2 * SIZE, np.random.default_rng([args.seed, patient, 1]))
            image = expose(chest, SIZE, np.random.default_rng([args.seed, patient, 2]))[0]
            axis.imshow(image, cmap="gray", vmin=0, vmax=255)
            axis.set_title(finding, fontsize=6)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.tight_layout(pad=0.3)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=130, pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
