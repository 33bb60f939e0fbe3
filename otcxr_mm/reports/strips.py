"""Pictures that runs left over training time, made small enough for one page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .training import Training

# bytes of all pictures of a page, and what is tried in turn to stay below: pictures of one name, and their longest side
BUDGET = 1_000_000
_SIZES = ((6, 960), (6, 720), (4, 720), (3, 600), (2, 480), (1, 400))
_QUALITY = 82


@dataclass
class Shown:
    """A picture on the page.

    Attributes:
        run: Name of the run.
        step: As it was recorded.
        source: The picture as a data URI.
        width: In pixels.
        height: In pixels.
    """

    run: str
    step: int
    source: str
    width: int
    height: int


@dataclass
class Strip:
    """The pictures of one name.

    Attributes:
        name: As they were recorded.
        shown: Those on the page, by run and step.
        count: How many there are.
    """

    name: str
    shown: list[Shown]
    count: int


def picture_strips(trainings: Sequence[Training], budget: int = BUDGET) -> list[Strip]:
    """Pictures of all runs by name: the first, the last, and some between.

    Args:
        trainings: Runs.
        budget: Most bytes of all pictures; with more, fewer and smaller ones are taken.
    """
    names = dict.fromkeys(name for run in trainings for name in run.pictures)
    for most, side in _SIZES:
        strips = [_strip(name, trainings, most, side) for name in names]
        if sum(len(shown.source) for strip in strips for shown in strip.shown) <= budget:
            return strips
    return _first_that_fit(strips, budget)


def _strip(name: str, trainings: Sequence[Training], most: int, side: int) -> Strip:
    shown, count = [], 0
    for run in trainings:
        files = run.pictures.get(name, {})
        count += len(files)
        for step in spread(list(files), most):
            if picture := _small(files[step], side):
                shown.append(Shown(run.name, step, *picture))
    return Strip(name, shown, count)


def spread(steps: list[int], most: int) -> list[int]:
    """At most `most` of the steps, evenly spread, with the last and, if there is more than one, the first."""
    if len(steps) <= most:
        return steps
    return [steps[-1 - round(k * (len(steps) - 1) / max(1, most - 1))] for k in reversed(range(most))]


def _small(file: Path, side: int) -> tuple[str, int, int] | None:
    """A picture as WebP in a data URI, its width and its height; None if it cannot be read."""
    from PIL import Image  # slow

    buffer = io.BytesIO()
    try:
        with Image.open(file) as image:
            picture = image.convert("RGB")
    except (OSError, SyntaxError, ValueError):  # cut short by a killed run
        return None
    picture.thumbnail((side, side))
    picture.save(buffer, "WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}", *picture.size


def _first_that_fit(strips: Sequence[Strip], budget: int) -> list[Strip]:
    """Strips with as many of their pictures as the budget allows."""
    for strip in strips:
        kept = []
        for shown in strip.shown:
            budget -= len(shown.source)
            if budget >= 0:
                kept.append(shown)
        strip.shown = kept
    return list(strips)
