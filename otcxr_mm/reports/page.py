"""One HTML file about one run or several side by side; it holds all it needs and fetches nothing."""

import base64
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType

from ..version import __version__
from . import facts
from .curves import GROUPS, Scalar, chart_data, scalars, summary
from .strips import picture_strips
from .tested import test_grids
from .training import Training, read_trainings

_FOLDER = Path(__file__).parent
# dashes of the runs, so that colour is not all that tells them apart; with the colours in report.html, 40 differ
_DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 1])
_COLOURS = 8
EXTRA = "the curves of a report need vl-convert-python: pip install 'otcxr_mm[report]'"


def require_charts() -> None:
    """Fails early where the extra is missing.

    Raises:
        ImportError: If vl-convert-python is not installed; names the extra.
    """
    try:
        import vl_convert  # noqa: F401
    except ImportError:
        raise ImportError(EXTRA) from None


def build_report(
    folders: Sequence[str | os.PathLike],
    title: str | None = None,
    intro: Sequence[str] = (),
    captions: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The page as HTML.

    It names no folder but the work dirs, no file, no patient and no address, and its content security policy forbids
    the browser to fetch anything.

    Args:
        folders: Work dirs.
        title: Of the page; default: the names of the runs.
        intro: Paragraphs below the title.
        captions: What pictures show, by their names.

    Raises:
        FileNotFoundError: If a folder is not there, or is not a work dir.
        ImportError: If vl-convert-python is not installed; names the extra.
        ValueError: If a folder is named twice, or the record of a test is damaged.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    require_charts()
    trainings = read_trainings(folders)
    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found = scalars(trainings)
    curves = [scalar for scalar in found if scalar.is_curve]
    differ, same = facts.settings_grids(trainings)
    return environment.get_template("report.html").render(
        title=title or ", ".join(run.name for run in trainings),
        intro=intro,
        trainings=trainings,
        grids={"runs": facts.run_grid(trainings), "data": facts.data_grid(trainings), "differ": differ, "same": same},
        environment=facts.environment_grid(trainings),
        groups=_groups(found, curves, trainings),
        tests=test_grids(trainings),
        strips=picture_strips(trainings),
        captions=captions,
        data=_data(curves, trainings),
        last=max((max(values) for curve in curves for values in curve.values if values), default=0),
        script=script,
        digest=digest,
        version=__version__,
        time=f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
    )


def _groups(found: Sequence[Scalar], curves: Sequence[Scalar], trainings: Sequence[Training]) -> list[dict]:
    """Each group with the numbers and names of its charts, and its values as a table."""
    groups = []
    for name in GROUPS:
        if own := [scalar for scalar in found if scalar.group == name]:
            charts = [(number, curve.name) for number, curve in enumerate(curves) if curve.group == name]
            groups.append({"name": name, "charts": charts, "values": facts.value_grid(name, own, trainings)})
    return groups


def _data(curves: Sequence[Scalar], trainings: Sequence[Training]) -> dict:
    """What the script draws."""
    charts = []
    for curve, lines in zip(curves, chart_data(curves), strict=True):
        ends = [f"{run.name}: {summary(values)}" for run, values in zip(trainings, curve.values, strict=True) if values]
        charts.append({"name": curve.name, "lines": lines, "description": f"{curve.name}. {'; '.join(ends)}"})
    dashes = [_DASHES[i % len(_DASHES)] for i in range(len(trainings))]
    drawn = sorted({line["run"] for chart in charts for line in chart["lines"]})
    names = [run.name for run in trainings]
    return {"runs": names, "drawn": drawn, "charts": charts, "dashes": dashes, "colours": _COLOURS}


def _script() -> str:
    """Vega with what draws the charts; the addresses in it, which no report uses, are left out."""
    import vl_convert

    bundle = re.sub(r"https://(?:vega\.github\.io|github\.com)/[\w./-]*", "", vl_convert.javascript_bundle())
    return f"{bundle}\n{(_FOLDER / 'charts.js').read_text(encoding='utf-8')}"
