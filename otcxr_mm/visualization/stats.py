"""What data sets hold, as a report and a picture."""

from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from ..utils.markdown import markdown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#3366aa", "#e08214", "#3a9a5b", "#b2447c", "#7a68ae", "#8c6d31")


def report(found: dict) -> str:
    """The figures as Markdown.

    Args:
        found: What :func:`otcxr_mm.datasets.summary.statistics` returned.
    """
    sets = found["sets"]
    head = ("set", "type", "images", "patients", "without id", "most of one", "grey mean", "std", "images read")
    rows = [
        [name, *(r[key] for key in ("type", "images", "patients", "without_id", "most_images"))]
        + [round(r["intensity"]["mean"], 1), round(r["intensity"]["std"], 1), r["intensity"]["images"]]
        for name, r in sets.items()
    ]
    lines = ["## Images and patients", "", *markdown(head, rows), ""]
    lines += [f"For the config: `model.data_preprocessor` with `mean=[{found['mean']:.1f}], std=[{found['std']:.1f}]`"]
    for name, r in sets.items():
        if unread := r["intensity"]["unread"]:
            drawn = r["intensity"]["images"] + unread
            lines += ["", f"note: {name}: {unread} of {drawn} images cannot be read, and are not counted here"]
    rows = [[name, _counts(r["view"]), _counts(r["sex"]), _years(r)] for name, r in sets.items()]
    lines += ["", "## Views, sex, age", "", *markdown(("set", "views", "sex", "age in years"), rows)]
    labelled = {name: r for name, r in sets.items() if r["labels"]}
    names = list(dict.fromkeys(label for r in labelled.values() for label in r["labels"]))
    if names:
        rows = [[label, *(_share(r["labels"].get(label)) for r in labelled.values())] for label in names]
        lines += ["", "## Positives", "", *markdown(("label", *labelled), rows)]
    for name, r in labelled.items():
        rows = [[f"{i} {label}", *r["cooccurrence"][i - 1]] for i, label in enumerate(r["labels"], 1)]
        columns = map(str, range(1, len(rows) + 1))
        lines += ["", f"## Images positive for both: {name}", "", *markdown(("label", *columns), rows)]
    return "\n".join(lines) + "\n"


def _share(counts: dict | None) -> str:
    if counts is None:
        return "-"
    known = counts["positive"] + counts["negative"]
    share = f"{counts['positive']} ({100 * counts['positive'] / known:.1f} %)" if known else "0"
    return f"{share} of {known} known" if counts["unknown"] else share


def _counts(counts: dict | None) -> str:
    return ", ".join(f"{name or 'unknown'} {n}" for name, n in counts.items()) if counts else "unknown"


def _years(record: dict) -> str:
    age = record["age"]
    if age is None:
        return "unknown"
    text = f"{age['min']:.0f} to {age['max']:.0f}, median {age['median']:.0f}"
    return text + (f" (of {age['known']} images)" if age["known"] < record["images"] else "")


def picture(found: dict) -> "Figure":
    """Grey values, ages and positives as a picture; only what is known is drawn.

    Args:
        found: What :func:`otcxr_mm.datasets.summary.statistics` returned.

    Returns:
        A matplotlib figure, for `savefig`.
    """
    from matplotlib.figure import Figure

    sets = {name: {**r, "colour": colour} for (name, r), colour in zip(found["sets"].items(), cycle(COLOURS))}
    panels = {"intensity": _draw_intensity, "age": _draw_ages, "labels": _draw_labels}
    known = {key: {name: r for name, r in sets.items() if r[key]} for key in panels}
    drawn = [key for key in panels if known[key]]
    height = 5.4 if known["labels"] else 3.4
    figure = Figure(figsize=(max(4.6 * len(drawn), 9), height), layout="constrained")
    for axis, key in zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn, strict=True):
        panels[key](axis, known[key])
        axis.legend(fontsize=8)
    return figure


def _draw_intensity(axis: "Axes", sets: dict) -> None:
    for name, r in sets.items():
        grey = r["intensity"]
        label = f"{name}: {grey['mean']:.0f} ± {grey['std']:.0f}"
        axis.plot(100 * np.asarray(grey["histogram"]), color=r["colour"], label=label, linewidth=1.2)
    # black borders would hide all the rest
    highest = max(np.sort(100 * np.asarray(r["intensity"]["histogram"]))[-4] for r in sets.values())
    axis.set_ylim(0, 1.6 * highest or None)
    axis.set(title="Grey values (mean ± std)", xlabel="grey value, 0 to 255", ylabel="% of the pixels", xlim=(0, 255))


def _draw_ages(axis: "Axes", sets: dict) -> None:
    width = 9 / len(sets)
    for i, (name, r) in enumerate(sets.items()):
        share = 100 * np.trim_zeros(np.array(r["age"]["histogram"]), "b") / r["age"]["known"]
        x = np.arange(len(share)) * 10 + 0.5 + (i + 0.5) * width
        axis.bar(x, share, width, color=r["colour"], label=f"{name}: median {r['age']['median']:.0f}")
    axis.set(title="Age", xlabel="years", ylabel="% of the images")
    axis.margins(y=0.25)


def _draw_labels(axis: "Axes", sets: dict) -> None:
    names = list(dict.fromkeys(label for r in sets.values() for label in r["labels"]))
    height = 0.8 / len(sets)
    for i, (name, r) in enumerate(sets.items()):
        counts = [r["labels"].get(label, {"positive": 0, "negative": 1}) for label in names]
        share = [100 * c["positive"] / max(c["positive"] + c["negative"], 1) for c in counts]
        y = np.arange(len(names)) - 0.4 + (i + 0.5) * height
        bars = axis.barh(y, share, height, color=r["colour"], label=f"{name}, {r['images']} images")
        axis.bar_label(bars, [c["positive"] for c in counts], padding=2, fontsize=6.5)
    axis.set(title="Positives (counts at the bars)", xlabel="% of the images whose label is known")
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.1)
